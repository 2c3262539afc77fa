//! What everybody holds of an event loop.

use std::{ffi::c_void, fmt, time::Duration};

use abi_stable::{StableAbi, sabi_trait::TD_Opaque, std_types::RArc};

use super::{
    EventLoop, Stat,
    abi::{EventLoopAbi_TO, LoopObj},
    adapter::Adapter,
};
use crate::{
    Callback, Error, Fd, HandleId, Interest, KeyValue, Op, OpCode, RepeatCallback, handle_methods,
    object_handle,
};

/// A shared reference to an event loop, wherever it was made: built in, or in a plugin.
///
/// The methods are those of [`EventLoop`]; see there for threads, units and errors.
#[repr(transparent)]
#[derive(StableAbi)]
pub struct LoopHandle(LoopObj);

object_handle!(LoopHandle(EventLoopAbi_TO));

impl LoopHandle {
    /// Puts an author's loop behind a handle.
    pub fn new(author: impl EventLoop) -> Self {
        Self(EventLoopAbi_TO::from_ptr(RArc::new(Adapter::new(author)), TD_Opaque))
    }

    /// Runs until `stop`; see [`EventLoop::run_forever`].
    pub fn run_forever(&self) -> Result<(), Error> {
        self.run_forever_as(self)
    }

    /// Runs on behalf of `this`, an object that has this loop as its base.
    pub fn run_forever_as(&self, this: &Self) -> Result<(), Error> {
        self.0.run_forever(this).into_result()
    }

    /// One turn; see [`EventLoop::run_once`]. `None` waits without a limit.
    pub fn run_once(&self, timeout: Option<Duration>) -> Result<(), Error> {
        let ns = timeout.map_or(u64::MAX, |limit| u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX));
        self.run_once_as(self, ns)
    }

    /// One turn on behalf of `this`, an object that has this loop as its base.
    pub fn run_once_as(&self, this: &Self, timeout_ns: u64) -> Result<(), Error> {
        self.0.run_once(this, timeout_ns).into_result()
    }

    /// Calls `callback` after `delay` (asyncio: `call_later`): [`call_at`](Self::call_at) from now. Loop's thread.
    pub fn call_later(&self, delay: Duration, callback: Callback) -> Result<HandleId, Error> {
        let delay = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        self.call_at(self.time().saturating_add(delay), callback)
    }

    handle_methods! { EventLoop:
        fn stop() -> ();
        fn close() -> ();
        fn poll_handle() -> Fd;
        fn next_deadline() -> u64;
        fn call_soon(callback: Callback) -> HandleId;
        fn call_soon_threadsafe(callback: Callback) -> HandleId;
        fn call_at(when_ns: u64, callback: Callback) -> HandleId;
        fn cancel(id: HandleId) -> bool;
        fn add_reader(fd: Fd, callback: RepeatCallback) -> ();
        fn remove_reader(fd: Fd) -> bool;
        fn add_writer(fd: Fd, callback: RepeatCallback) -> ();
        fn remove_writer(fd: Fd) -> bool;
        fn watch_io(fd: Fd, interest: Interest, callback: RepeatCallback) -> HandleId;
        fn rearm_io(id: HandleId, interest: Interest) -> ();
        fn unwatch_io(id: HandleId) -> bool;
        fn add_signal_handler(signum: i32, callback: RepeatCallback) -> ();
        fn remove_signal_handler(signum: i32) -> bool;
        fn cancel_op(id: HandleId) -> bool;
        fn set_debug(on: bool) -> ();
    }

    /// See [`EventLoop::submit`].
    ///
    /// # Safety
    /// As there: everything that `op` points to lives inside `callback` and stays where it is.
    pub unsafe fn submit(&self, op: &Op, callback: RepeatCallback) -> Result<HandleId, Error> {
        // SAFETY: the caller's guarantee is passed on as it is.
        unsafe { self.0.submit(op, callback) }.into_result()
    }

    /// See [`EventLoop::is_running`].
    pub fn is_running(&self) -> bool {
        self.0.is_running()
    }

    /// See [`EventLoop::is_closed`].
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// See [`EventLoop::time`].
    pub fn time(&self) -> u64 {
        self.0.time()
    }

    /// See [`EventLoop::supports`].
    pub fn supports(&self, op: OpCode) -> bool {
        self.0.supports(op)
    }

    /// See [`EventLoop::capabilities`].
    pub fn capabilities(&self) -> u64 {
        self.0.capabilities()
    }

    /// See [`EventLoop::name`].
    pub fn name(&self) -> String {
        self.0.name().into()
    }

    /// See [`EventLoop::stat`].
    pub fn stat(&self, stat: Stat) -> Option<u64> {
        self.0.stat(stat).into()
    }

    /// See [`EventLoop::set_exception_handler`].
    pub fn set_exception_handler(&self, handler: Option<RepeatCallback>) -> Result<(), Error> {
        self.0.set_exception_handler(handler.into()).into_result()
    }

    /// See [`EventLoop::call_exception_handler`].
    pub fn call_exception_handler(
        &self,
        message: &str,
        error: Option<Error>,
        details: Vec<KeyValue>,
    ) -> Result<(), Error> {
        self.0.call_exception_handler(message.into(), error.into(), details.into()).into_result()
    }

    /// See [`EventLoop::base`].
    pub fn base(&self) -> Option<Self> {
        self.0.base().into()
    }

    /// See [`EventLoop::extension`].
    pub fn extension(&self, id: &str) -> *const c_void {
        self.0.extension(id.into())
    }
}

impl fmt::Debug for LoopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} running={} closed={}>", self.name(), self.is_running(), self.is_closed())
    }
}
