//! From the author's trait to what crosses.

use std::{ffi::c_void, mem::ManuallyDrop, ptr};

use abi_stable::std_types::{ROption, RStr, RString};

use super::{ChildWatcher, abi::ChildWatcherAbi};
use crate::{
    AbiResult, Callback, Fd, LoopHandle, WatcherHandle, guard::guard, guard::guard_or, guarded_drop,
    guarded_methods,
};

/// An author's watcher behind guards.
pub(super) struct Adapter<T: ChildWatcher>(ManuallyDrop<T>);

impl<T: ChildWatcher> Adapter<T> {
    pub(super) fn new(author: T) -> Self {
        Self(ManuallyDrop::new(author))
    }
}

guarded_drop!(Adapter<T: ChildWatcher>, "dropping a child watcher");

impl<T: ChildWatcher> ChildWatcherAbi for Adapter<T> {
    guarded_methods! {
        fn add_child_handler(pid: i64, pidfd: Fd, callback: Callback) -> ();
        fn remove_child_handler(pid: i64) -> bool;
        fn begin_spawn() -> u64;
        fn end_spawn(token: u64, pid: i64) -> ();
        fn close() -> ();
    }

    fn attach_loop(&self, event_loop: ROption<LoopHandle>) -> AbiResult<()> {
        guard(|| self.0.attach_loop(event_loop.into_option()))
    }

    fn is_active(&self) -> bool {
        guard_or(false, "is_active", || self.0.is_active())
    }

    fn name(&self) -> RString {
        guard_or("?".into(), "name", || self.0.name().into())
    }

    fn base(&self) -> ROption<WatcherHandle> {
        guard_or(ROption::RNone, "base", || self.0.base().into())
    }

    fn extension(&self, id: RStr<'_>) -> *const c_void {
        guard_or(ptr::null(), "extension", || self.0.extension(id.into()))
    }
}
