//! An event loop as it crosses: the table of its methods, whose order is the ABI.

use std::ffi::c_void;

use abi_stable::{
    sabi_trait,
    std_types::{RArc, ROption, RStr, RString},
};

use super::Stat;
use crate::{
    AbiResult, Callback, Error, Fd, HandleId, Interest, LoopHandle, Op, OpCode, RepeatCallback,
    key_value::KeyValues,
};

/// What is behind a [`LoopHandle`].
pub(crate) type LoopObj = EventLoopAbi_TO<RArc<()>>;

#[sabi_trait]
pub trait EventLoopAbi: Send + Sync + 'static {
    fn run_forever(&self, this: &LoopHandle) -> AbiResult<()>;
    fn run_once(&self, this: &LoopHandle, timeout_ns: u64) -> AbiResult<()>;
    fn stop(&self) -> AbiResult<()>;
    fn close(&self) -> AbiResult<()>;
    fn is_running(&self) -> bool;
    fn is_closed(&self) -> bool;
    fn poll_handle(&self) -> AbiResult<Fd>;
    fn next_deadline(&self) -> AbiResult<u64>;
    fn call_soon(&self, callback: Callback) -> AbiResult<HandleId>;
    fn call_soon_threadsafe(&self, callback: Callback) -> AbiResult<HandleId>;
    fn call_at(&self, when_ns: u64, callback: Callback) -> AbiResult<HandleId>;
    fn cancel(&self, id: HandleId) -> AbiResult<bool>;
    fn time(&self) -> u64;
    fn add_reader(&self, fd: Fd, callback: RepeatCallback) -> AbiResult<()>;
    fn remove_reader(&self, fd: Fd) -> AbiResult<bool>;
    fn add_writer(&self, fd: Fd, callback: RepeatCallback) -> AbiResult<()>;
    fn remove_writer(&self, fd: Fd) -> AbiResult<bool>;
    fn watch_io(&self, fd: Fd, interest: Interest, callback: RepeatCallback) -> AbiResult<HandleId>;
    fn rearm_io(&self, id: HandleId, interest: Interest) -> AbiResult<()>;
    fn unwatch_io(&self, id: HandleId) -> AbiResult<bool>;
    fn add_signal_handler(&self, signum: i32, callback: RepeatCallback) -> AbiResult<()>;
    fn remove_signal_handler(&self, signum: i32) -> AbiResult<bool>;
    // SAFETY: as `EventLoop::submit`: what `op` points to lives inside `callback` and stays where it is.
    unsafe fn submit(&self, op: &Op, callback: RepeatCallback) -> AbiResult<HandleId>;
    fn cancel_op(&self, id: HandleId) -> AbiResult<bool>;
    fn supports(&self, op: OpCode) -> bool;
    fn capabilities(&self) -> u64;
    fn name(&self) -> RString;
    fn stat(&self, stat: Stat) -> ROption<u64>;
    fn set_debug(&self, on: bool) -> AbiResult<()>;
    fn set_exception_handler(&self, handler: ROption<RepeatCallback>) -> AbiResult<()>;
    fn call_exception_handler(
        &self,
        message: RStr<'_>,
        error: ROption<Error>,
        details: KeyValues,
    ) -> AbiResult<()>;
    fn base(&self) -> ROption<LoopHandle>;
    #[sabi(last_prefix_field)]
    fn extension(&self, id: RStr<'_>) -> *const c_void;
}
