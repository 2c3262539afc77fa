//! A plugin host for event loops: asyncio's policy system for native programs.
//!
//! The policy of the process decides which event loop a thread gets and how the process learns that a child has exited.
//! Policies, loops and child watchers are built in or come from plugin files; this library cannot tell them apart.
//!
//! ```
//! use loophost::{Callback, policy};
//!
//! let event_loop = policy::new_event_loop()?;
//! let l = event_loop.clone();
//! event_loop.call_soon(Callback::new(move |_| l.stop()))?;
//! event_loop.run_forever()?;
//! event_loop.close()?;
//! # Ok::<(), loophost::Error>(())
//! ```
//!
//! # Map
//! - [`policy`]: the functions of asyncio's module: get and set the policy, the loop, the watcher.
//! - [`plugin`]: finds, checks and loads plugin files; [`builtin`]: what needs none.
//! - [`process`]: makes, signals and reaps processes; [`signal`]: the one signal broker; [`probe`]: what works here.
//! - `testing`: what the conformance suite `loophost-testkit` needs, with the feature `testing`.
//! - Everything that crosses to plugins, [`LoopHandle`], [`Callback`], [`Error`] and so on, is that of
//!   `loophost-plugin-api` and stands at the root of this crate; [`host`] is the host as a plugin sees it.
//!
//! # Threads
//! Every function here may be called on any thread; the methods of a loop belong to its thread, see
//! [`EventLoop`]. Nothing is locked while the code of a policy, loop, watcher or callback runs.

#![deny(unsafe_code)]

mod advice;
pub mod builtin;
pub mod environment;
#[cfg(feature = "async")]
mod executor;
mod install;
#[cfg(feature = "async")]
pub mod io;
mod log;
#[cfg(feature = "async")]
pub mod net;
pub mod plugin;
pub mod policy;
pub mod probe;
pub mod process;
#[cfg(feature = "async")]
mod run;
mod running;
mod services;
pub mod signal;
#[allow(unsafe_code, reason = "the door to the operating system")]
mod sys;
#[cfg(feature = "async")]
pub mod task;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "async")]
pub mod time;

pub use install::install_from_env;
pub use loophost_plugin_api::*;
#[cfg(feature = "async")]
pub use {
    run::{block_on, run},
    task::{JoinHandle, spawn, spawn_blocking, spawn_local},
};
