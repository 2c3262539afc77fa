//! Child watchers: the author's trait, the handle that everybody uses, and what crosses between them.

#[allow(unreachable_pub, reason = "abi_stable wants its traits public")]
mod abi;
mod adapter;
mod handle;

use std::{ffi::c_void, ptr};

pub use handle::WatcherHandle;

use crate::{Callback, Error, Fd, LoopHandle, delegate};

/// A child watcher, as its author writes it (asyncio: `AbstractChildWatcher`).
///
/// A watcher finds out *that* a child has exited. It never consumes the status itself: it asks the host, with
/// [`host::reap`](crate::host::reap), and gives what it got to the handler.
///
/// Make a [`WatcherHandle`] of it with [`WatcherHandle::new`]. A method that is not written goes to
/// [`base`](Self::base), and without a base answers `NotSupported`.
///
/// # Threads
/// All methods: any thread, called with no lock held.
pub trait ChildWatcher: Send + Sync + 'static {
    /// Calls `callback` once when child `pid` has exited, on any thread, never from inside this call and with no lock
    /// of the watcher held (asyncio: `add_child_handler`). A second call for the same pid replaces the first.
    ///
    /// `pidfd` (−1: none) is lent until the callback was called or [`remove_child_handler`](Self::remove_child_handler)
    /// returned.
    ///
    /// # Errors
    /// Nothing is registered then; the host asks the next watcher in its chain.
    fn add_child_handler(&self, pid: i64, pidfd: Fd, callback: Callback) -> Result<(), Error> {
        delegate!(self, "add_child_handler", add_child_handler(pid, pidfd, callback))
    }

    /// Drops the handler of `pid`; true if there was one, and then it does not run and will not (asyncio:
    /// `remove_child_handler`).
    fn remove_child_handler(&self, pid: i64) -> Result<bool, Error> {
        delegate!(self, "remove_child_handler", remove_child_handler(pid))
    }

    /// Attaches to a loop, or detaches; all of it or nothing (asyncio: `attach_loop`).
    fn attach_loop(&self, event_loop: Option<LoopHandle>) -> Result<(), Error> {
        delegate!(self, "attach_loop", attach_loop(event_loop))
    }

    /// Whether the exit of a child spawned now would be noticed (asyncio: `is_active`).
    fn is_active(&self) -> bool {
        self.base().is_some_and(|base| base.is_active())
    }

    /// Comes before a spawn; the token goes to [`end_spawn`](Self::end_spawn) (asyncio: `__enter__`).
    ///
    /// # Errors
    /// `Inactive`: nothing is spawned.
    fn begin_spawn(&self) -> Result<u64, Error> {
        delegate!(self, "begin_spawn", begin_spawn())
    }

    /// Comes after a spawn and its `add_child_handler`; `pid` is 0 if there is no child (asyncio: `__exit__`).
    fn end_spawn(&self, token: u64, pid: i64) -> Result<(), Error> {
        delegate!(self, "end_spawn", end_spawn(token, pid))
    }

    /// Drops all handlers; their children go to the host's reaper (asyncio: `close`). Closing twice is fine.
    fn close(&self) -> Result<(), Error> {
        delegate!(self, "close", close())
    }

    /// The watcher's name, for messages.
    fn name(&self) -> String {
        self.base().map_or_else(|| "child watcher".into(), |base| base.name())
    }

    /// The watcher that gets what this one does not write; as Python's `super()`.
    fn base(&self) -> Option<WatcherHandle> {
        None
    }

    /// The table of extension `vendor.name/1`, or null: see [`ExtensionHead`](crate::ExtensionHead). It lives as long as
    /// this object.
    fn extension(&self, id: &str) -> *const c_void {
        self.base().map_or(ptr::null(), |base| base.extension(id))
    }
}
