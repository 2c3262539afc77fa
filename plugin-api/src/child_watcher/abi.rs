//! A child watcher as it crosses: the table of its methods, whose order is the ABI.

use std::ffi::c_void;

use abi_stable::{
    sabi_trait,
    std_types::{RArc, ROption, RStr, RString},
};

use crate::{AbiResult, Callback, Fd, LoopHandle, WatcherHandle};

/// What is behind a [`WatcherHandle`].
pub(crate) type WatcherObj = ChildWatcherAbi_TO<RArc<()>>;

#[sabi_trait]
pub trait ChildWatcherAbi: Send + Sync + 'static {
    fn add_child_handler(&self, pid: i64, pidfd: Fd, callback: Callback) -> AbiResult<()>;
    fn remove_child_handler(&self, pid: i64) -> AbiResult<bool>;
    fn attach_loop(&self, event_loop: ROption<LoopHandle>) -> AbiResult<()>;
    fn is_active(&self) -> bool;
    fn begin_spawn(&self) -> AbiResult<u64>;
    fn end_spawn(&self, token: u64, pid: i64) -> AbiResult<()>;
    fn close(&self) -> AbiResult<()>;
    fn name(&self) -> RString;
    fn base(&self) -> ROption<WatcherHandle>;
    #[sabi(last_prefix_field)]
    fn extension(&self, id: RStr<'_>) -> *const c_void;
}
