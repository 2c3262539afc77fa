//! What everybody holds of a child watcher.

use std::{ffi::c_void, fmt};

use abi_stable::{StableAbi, sabi_trait::TD_Opaque, std_types::RArc};

use super::{
    ChildWatcher,
    abi::{ChildWatcherAbi_TO, WatcherObj},
    adapter::Adapter,
};
use crate::{Callback, Error, Fd, LoopHandle, handle_methods, object_handle};

/// A shared reference to a child watcher, wherever it was made: built in, or in a plugin.
///
/// The methods are those of [`ChildWatcher`]; see there for threads and errors.
#[repr(transparent)]
#[derive(StableAbi)]
pub struct WatcherHandle(WatcherObj);

object_handle!(WatcherHandle(ChildWatcherAbi_TO));

impl WatcherHandle {
    /// Puts an author's watcher behind a handle.
    pub fn new(author: impl ChildWatcher) -> Self {
        Self(ChildWatcherAbi_TO::from_ptr(RArc::new(Adapter::new(author)), TD_Opaque))
    }

    handle_methods! { ChildWatcher:
        fn add_child_handler(pid: i64, pidfd: Fd, callback: Callback) -> ();
        fn remove_child_handler(pid: i64) -> bool;
        fn begin_spawn() -> u64;
        fn end_spawn(token: u64, pid: i64) -> ();
        fn close() -> ();
    }

    /// See [`ChildWatcher::attach_loop`].
    pub fn attach_loop(&self, event_loop: Option<LoopHandle>) -> Result<(), Error> {
        self.0.attach_loop(event_loop.into()).into_result()
    }

    /// See [`ChildWatcher::is_active`].
    pub fn is_active(&self) -> bool {
        self.0.is_active()
    }

    /// See [`ChildWatcher::name`].
    pub fn name(&self) -> String {
        self.0.name().into()
    }

    /// See [`ChildWatcher::base`].
    pub fn base(&self) -> Option<Self> {
        self.0.base().into()
    }

    /// See [`ChildWatcher::extension`].
    pub fn extension(&self, id: &str) -> *const c_void {
        self.0.extension(id.into())
    }
}

impl fmt::Debug for WatcherHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} active={}>", self.name(), self.is_active())
    }
}
