//! From the author's trait to what crosses.

use std::{ffi::c_void, mem::ManuallyDrop, ptr};

use abi_stable::std_types::{ROption, RStr};

use super::{Policy, abi::PolicyAbi};
use crate::{
    AbiResult, LoopHandle, PolicyHandle, WatcherHandle, guard::guard, guard::guard_or, guarded_drop,
    guarded_methods,
};

/// An author's policy behind guards.
pub(super) struct Adapter<T: Policy>(ManuallyDrop<T>);

impl<T: Policy> Adapter<T> {
    pub(super) fn new(author: T) -> Self {
        Self(ManuallyDrop::new(author))
    }
}

guarded_drop!(Adapter<T: Policy>, "dropping a policy");

impl<T: Policy> PolicyAbi for Adapter<T> {
    guarded_methods! {
        fn get_event_loop(this: &PolicyHandle) -> LoopHandle;
        fn new_event_loop(this: &PolicyHandle) -> LoopHandle;
        fn get_child_watcher(this: &PolicyHandle) -> WatcherHandle;
    }

    fn set_event_loop(&self, this: &PolicyHandle, event_loop: ROption<LoopHandle>) -> AbiResult<()> {
        guard(|| self.0.set_event_loop(this, event_loop.into_option()))
    }

    fn set_child_watcher(&self, this: &PolicyHandle, watcher: ROption<WatcherHandle>) -> AbiResult<()> {
        guard(|| self.0.set_child_watcher(this, watcher.into_option()))
    }

    fn base(&self) -> ROption<PolicyHandle> {
        guard_or(ROption::RNone, "base", || self.0.base().into())
    }

    fn extension(&self, id: RStr<'_>) -> *const c_void {
        guard_or(ptr::null(), "extension", || self.0.extension(id.into()))
    }
}
