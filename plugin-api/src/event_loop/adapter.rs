//! From the author's trait to what crosses: guards, and conversions of the few types that differ.

use std::{ffi::c_void, mem::ManuallyDrop, ptr};

use abi_stable::std_types::{ROption, RStr, RString};

use super::{EventLoop, Stat, abi::EventLoopAbi};
use crate::{
    AbiResult, Callback, Error, Fd, HandleId, Interest, LoopHandle, Op, OpCode, RepeatCallback, guard::guard,
    guard::guard_or, guarded_drop, guarded_methods, key_value::KeyValues,
};

/// An author's loop behind guards.
pub(super) struct Adapter<T: EventLoop>(ManuallyDrop<T>);

impl<T: EventLoop> Adapter<T> {
    pub(super) fn new(author: T) -> Self {
        Self(ManuallyDrop::new(author))
    }
}

guarded_drop!(Adapter<T: EventLoop>, "dropping an event loop");

impl<T: EventLoop> EventLoopAbi for Adapter<T> {
    guarded_methods! {
        fn run_forever(this: &LoopHandle) -> ();
        fn run_once(this: &LoopHandle, timeout_ns: u64) -> ();
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

    unsafe fn submit(&self, op: &Op, callback: RepeatCallback) -> AbiResult<HandleId> {
        // SAFETY: the caller's guarantee is passed on as it is.
        guard(|| unsafe { self.0.submit(op, callback) })
    }

    fn is_running(&self) -> bool {
        guard_or(false, "is_running", || self.0.is_running())
    }

    fn is_closed(&self) -> bool {
        guard_or(false, "is_closed", || self.0.is_closed())
    }

    fn time(&self) -> u64 {
        guard_or(0, "time", || self.0.time())
    }

    fn supports(&self, op: OpCode) -> bool {
        guard_or(false, "supports", || self.0.supports(op))
    }

    fn capabilities(&self) -> u64 {
        guard_or(0, "capabilities", || self.0.capabilities())
    }

    fn name(&self) -> RString {
        guard_or("?".into(), "name", || self.0.name().into())
    }

    fn stat(&self, stat: Stat) -> ROption<u64> {
        guard_or(ROption::RNone, "stat", || self.0.stat(stat).into())
    }

    fn set_exception_handler(&self, handler: ROption<RepeatCallback>) -> AbiResult<()> {
        guard(|| self.0.set_exception_handler(handler.into_option()))
    }

    fn call_exception_handler(
        &self,
        message: RStr<'_>,
        error: ROption<Error>,
        details: KeyValues,
    ) -> AbiResult<()> {
        guard(|| self.0.call_exception_handler(message.into(), error.into_option(), details.into_vec()))
    }

    fn base(&self) -> ROption<LoopHandle> {
        guard_or(ROption::RNone, "base", || self.0.base().into())
    }

    fn extension(&self, id: RStr<'_>) -> *const c_void {
        guard_or(ptr::null(), "extension", || self.0.extension(id.into()))
    }
}
