//! A policy as it crosses: the table of its methods, whose order is the ABI.

use std::ffi::c_void;

use abi_stable::{
    sabi_trait,
    std_types::{RArc, ROption, RStr},
};

use crate::{AbiResult, LoopHandle, PolicyHandle, WatcherHandle};

/// What is behind a [`PolicyHandle`].
pub(crate) type PolicyObj = PolicyAbi_TO<RArc<()>>;

#[sabi_trait]
pub trait PolicyAbi: Send + Sync + 'static {
    fn get_event_loop(&self, this: &PolicyHandle) -> AbiResult<LoopHandle>;
    fn set_event_loop(&self, this: &PolicyHandle, event_loop: ROption<LoopHandle>) -> AbiResult<()>;
    fn new_event_loop(&self, this: &PolicyHandle) -> AbiResult<LoopHandle>;
    fn get_child_watcher(&self, this: &PolicyHandle) -> AbiResult<WatcherHandle>;
    fn set_child_watcher(&self, this: &PolicyHandle, watcher: ROption<WatcherHandle>) -> AbiResult<()>;
    fn base(&self) -> ROption<PolicyHandle>;
    #[sabi(last_prefix_field)]
    fn extension(&self, id: RStr<'_>) -> *const c_void;
}
