//! The ABI of loophost: everything that crosses between the host and a plugin, and what a plugin's author writes.
//!
//! An author implements plain traits, [`EventLoop`], [`ChildWatcher`] or [`Policy`], puts the object behind a handle
//! ([`LoopHandle`], [`WatcherHandle`], [`PolicyHandle`]), implements [`Plugin`], and exports it with
//! [`export_plugin!`]. Names are asyncio's. The adapters between trait and handle stop every panic; what the author
//! did not write goes to the object's `base()`, as with a superclass in Python.
//!
//! - [`Callback`] and [`RepeatCallback`]: the one shape of callbacks; [`Event`]: what they are told.
//! - [`host`]: what a plugin may ask of the host.
//! - [`LoopCell`]: the thread rule of a loop's state.
//!
//! A complete plugin is `examples/limited-policy` in loophost's repository; a loop around a selector comes from the
//! crate `loophost-base-loop`. Plugins in C have `include/loophost.h` of this crate, with the same functions.
//!
//! # Versions
//! The ABI has its own version, [`ABI_MAJOR`].[`ABI_MINOR`], written into each plugin file and read before any of its
//! code runs. Within a major a host takes plugins of its own minor and of older ones, and newer ones that say that they
//! do not need theirs: see `VERSIONS.md` of this crate.

#![allow(
    non_local_definitions,
    non_camel_case_types,
    unused_qualifications,
    reason = "code that abi_stable generates"
)]

mod callback;
mod child_watcher;
mod completion;
mod error;
mod event;
mod event_loop;
mod extension;
mod forward;
#[doc(hidden)]
pub mod growing;
mod guard;
mod handle_id;
pub mod host;
mod interest;
mod key_value;
mod log;
mod loop_cell;
mod plugin;
mod policy;
mod thread_id;

pub use callback::{Callback, CallbackName, RepeatCallback};
pub use child_watcher::{ChildWatcher, WatcherHandle};
pub use completion::{IoVec, Op, OpCode};
pub use error::{AbiResult, Error, ErrorCode};
pub use event::{ChildExit, Event, EventKind, ExceptionContext};
pub use event_loop::{Capabilities, EventLoop, LoopHandle, Stat};
pub use extension::ExtensionHead;
pub(crate) use forward::{delegate, guarded_drop, guarded_methods, handle_methods, object_handle};
pub use handle_id::HandleId;
pub use interest::Interest;
pub use key_value::{KeyValue, Options};
pub use loop_cell::{Hold, LoopCell, RefMut, Running};
pub use plugin::{Descriptor, Metadata, Offer, OfferKind, OptionHelp, Plugin};
pub use policy::{Policy, PolicyHandle};

/// A file descriptor, or a socket of Windows.
pub type Fd = i64;

/// The major version of the ABI.
pub const ABI_MAJOR: u32 = 1;
/// The minor version of the ABI.
pub const ABI_MINOR: u32 = 0;

/// For the host and for `export_plugin!`; not part of the API.
#[doc(hidden)]
pub mod __private {
    pub use abi_stable::library::{
        __call_root_module_loader as call_root_module_loader, LibHeader, RootModuleResult,
    };

    pub use crate::{
        growing::{self, Growing},
        guard::{guard, install_panic_hook},
        host::{ExitPlace, ForkMark, HostServices, HostServices_Ref, install},
        key_value::KeyValues,
        log::{LentRecord, LogField, LogRecord},
        plugin::{PluginRoot_Ref, root_header},
    };
}
