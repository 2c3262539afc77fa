//! Policies: the author's trait, the handle that everybody uses, and what crosses between them.

#[allow(unreachable_pub, reason = "abi_stable wants its traits public")]
mod abi;
mod adapter;
mod handle;

use std::{ffi::c_void, ptr};

pub use handle::PolicyHandle;

use crate::{Error, LoopHandle, WatcherHandle, delegate};

/// An event loop policy, as its author writes it (asyncio: `AbstractEventLoopPolicy`).
///
/// Make a [`PolicyHandle`] of it with [`PolicyHandle::new`]. A method that is not written goes to
/// [`base`](Self::base), and without a base answers `NotSupported`.
///
/// # Subclassing
/// `this` is the outermost policy. A method that calls another one calls it on `this`, so that an override is
/// used, as Python's method resolution would. To call the base's version of a method from its override, as with
/// `super()`, use the handle's `_as` methods: `base.get_event_loop_as(this)`. `this` is lent: never store it.
///
/// # Threads
/// All methods: any thread, called with no lock held.
pub trait Policy: Send + Sync + 'static {
    /// The loop of the current context (asyncio: `get_event_loop`).
    ///
    /// # Errors
    /// `NoCurrentLoop` if there is none and none is to be made.
    fn get_event_loop(&self, this: &PolicyHandle) -> Result<LoopHandle, Error> {
        delegate!(self, "get_event_loop", get_event_loop_as(this))
    }

    /// Sets or clears the loop of the current context (asyncio: `set_event_loop`).
    fn set_event_loop(&self, this: &PolicyHandle, event_loop: Option<LoopHandle>) -> Result<(), Error> {
        delegate!(self, "set_event_loop", set_event_loop_as(this, event_loop))
    }

    /// Makes a loop, without making it current (asyncio: `new_event_loop`).
    fn new_event_loop(&self, this: &PolicyHandle) -> Result<LoopHandle, Error> {
        delegate!(self, "new_event_loop", new_event_loop_as(this))
    }

    /// The watcher of the process, made when it is first asked for (asyncio: `get_child_watcher`).
    fn get_child_watcher(&self, this: &PolicyHandle) -> Result<WatcherHandle, Error> {
        delegate!(self, "get_child_watcher", get_child_watcher_as(this))
    }

    /// Replaces the watcher; the previous one is closed, `None` lets the next `get` make a default one (asyncio:
    /// `set_child_watcher`).
    fn set_child_watcher(&self, this: &PolicyHandle, watcher: Option<WatcherHandle>) -> Result<(), Error> {
        delegate!(self, "set_child_watcher", set_child_watcher_as(this, watcher))
    }

    /// The policy that gets what this one does not write; as Python's `super()`.
    fn base(&self) -> Option<PolicyHandle> {
        None
    }

    /// The table of extension `vendor.name/1`, or null: see [`ExtensionHead`](crate::ExtensionHead). It lives as long as
    /// this object.
    fn extension(&self, id: &str) -> *const c_void {
        self.base().map_or(ptr::null(), |base| base.extension(id))
    }
}
