//! The policy of the process: which event loop a context uses, and how it learns that a child has exited.
//!
//! These are asyncio's module functions. There is one policy in a process; it is a [`DefaultEventLoopPolicy`] until
//! somebody sets another one, built in or out of a plugin. All functions: any thread. No lock is held while the code of
//! a policy, a loop or a watcher runs, so a policy's constructor may itself ask for the policy.
//!
//! A policy that changes one thing has the default as its base:
//!
//! ```
//! use loophost::{Error, LoopHandle, Policy, PolicyHandle, policy};
//!
//! struct Debugging(PolicyHandle);
//!
//! impl Policy for Debugging {
//!     fn base(&self) -> Option<PolicyHandle> {
//!         Some(self.0.clone())
//!     }
//!
//!     fn new_event_loop(&self, this: &PolicyHandle) -> Result<LoopHandle, Error> {
//!         let event_loop = self.0.new_event_loop_as(this)?;
//!         event_loop.set_debug(true)?;
//!         Ok(event_loop)
//!     }
//! }
//!
//! let base = policy::get_event_loop_policy();
//! policy::set_event_loop_policy(Some(PolicyHandle::new(Debugging(base))));
//! let event_loop = policy::new_event_loop()?;
//! # event_loop.close()?;
//! # Ok::<(), Error>(())
//! ```
//!
//! # After fork(2) without exec
//! The child keeps the policy and has no running loop. In a default policy it finds no loops and no watcher, and
//! makes its own as a fresh process would; those of the parent are neither used nor closed.
//!
//! # Deprecations
//! What asyncio deprecates in the version of the [`Profile`] is a `tracing` event of target `loophost::deprecated`, see
//! [`Deprecation`], which also silences it. Only what users call emits them, not the host's own use.

mod default;
mod deprecated;
mod profile;
mod slots;

use std::{
    mem,
    panic::Location,
    sync::{Mutex, MutexGuard},
};

pub use default::DefaultEventLoopPolicy;
pub use deprecated::Deprecation;
pub(crate) use deprecated::called_from;
pub use profile::{Profile, profile, set_profile};

use crate::{
    Error, ErrorCode, LoopHandle, PolicyHandle, WatcherHandle, process::lock, running, services,
    sys::per_process::PerProcess,
};

/// A forked child inherits the policy, unless it was being replaced at that very moment.
static POLICY: PerProcess<Mutex<Option<PolicyHandle>>> = PerProcess::new(|parents| {
    Mutex::new(parents.and_then(|policy| policy.try_lock().ok().and_then(|policy| policy.clone())))
});

fn policy() -> MutexGuard<'static, Option<PolicyHandle>> {
    lock(POLICY.get())
}

/// The policy of the process, a fresh default if none is set (asyncio: `get_event_loop_policy`).
pub fn get_event_loop_policy() -> PolicyHandle {
    services::install();
    if let Some(policy) = &*policy() {
        return policy.clone();
    }
    // Made with no lock held. If another thread was faster its policy counts, and ours goes after the lock.
    let fresh = PolicyHandle::new(DefaultEventLoopPolicy::new());
    policy().get_or_insert_with(|| fresh.clone()).clone()
}

/// Replaces the policy of the process; with `None` the next [`get_event_loop_policy`] makes a fresh default (asyncio:
/// `set_event_loop_policy`). The loops and the watcher of the previous policy are left as they are.
pub fn set_event_loop_policy(new: Option<PolicyHandle>) {
    services::install();
    let previous = mem::replace(&mut *policy(), new);
    drop(previous);
}

/// The loop that runs in this thread, without asking the policy; otherwise the loop that the policy has for this
/// context (asyncio: `get_event_loop`).
///
/// # Errors
/// The policy's own; of a default policy `NoCurrentLoop`, if this is not the main thread or a loop was set and cleared
/// here.
#[track_caller]
pub fn get_event_loop() -> Result<LoopHandle, Error> {
    if let Some(running) = running::current() {
        return Ok(running);
    }
    let policy = get_event_loop_policy();
    called_from(Location::caller(), || policy.get_event_loop())
}

/// Makes `event_loop` the loop of this context, or clears it (asyncio: `set_event_loop`).
pub fn set_event_loop(event_loop: Option<LoopHandle>) -> Result<(), Error> {
    get_event_loop_policy().set_event_loop(event_loop)
}

/// Makes a loop of the policy's kind, without making it current (asyncio: `new_event_loop`). Whoever asked for it
/// closes it.
pub fn new_event_loop() -> Result<LoopHandle, Error> {
    get_event_loop_policy().new_event_loop()
}

/// The loop that runs in this thread (asyncio: `get_running_loop`).
///
/// # Errors
/// `NoRunningLoop`.
pub fn get_running_loop() -> Result<LoopHandle, Error> {
    running::current().ok_or_else(no_running_loop)
}

#[cold]
pub(crate) fn no_running_loop() -> Error {
    Error::new(ErrorCode::NO_RUNNING_LOOP, "no event loop is running in this thread")
}

/// The child watcher of the policy (asyncio: `get_child_watcher`).
#[track_caller]
pub fn get_child_watcher() -> Result<WatcherHandle, Error> {
    called_from(Location::caller(), || Deprecation::GetChildWatcher.emit_in_profile());
    get_event_loop_policy().get_child_watcher()
}

/// Replaces the child watcher of the policy: the previous one is closed, the new one is attached to no loop; with
/// `None` the next [`get_child_watcher`] makes a default one (asyncio: `set_child_watcher`).
#[track_caller]
pub fn set_child_watcher(watcher: Option<WatcherHandle>) -> Result<(), Error> {
    called_from(Location::caller(), || Deprecation::SetChildWatcher.emit_in_profile());
    get_event_loop_policy().set_child_watcher(watcher)
}
