//! Event loops: the author's trait, the handle that everybody uses, and what crosses between them.

#[allow(unreachable_pub, reason = "abi_stable wants its traits public")]
#[allow(clippy::undocumented_unsafe_blocks, reason = "the block that sabi_trait generates for `submit`")]
mod abi;
mod adapter;
mod handle;

use std::{ffi::c_void, ptr};

pub use handle::LoopHandle;

use crate::{
    Callback, Error, ErrorCode, Fd, HandleId, Interest, KeyValue, Op, OpCode, RepeatCallback, delegate,
};

/// An event loop, as its author writes it (asyncio: `AbstractEventLoop`).
///
/// Make a [`LoopHandle`] of it with [`LoopHandle::new`]; panics become errors on the way. A method that is not
/// written goes to [`base`](Self::base), and without a base answers `NotSupported`.
///
/// # Threads
/// *Loop's thread*: the thread that runs the loop; while it is idle, any one thread at a time. Called elsewhere
/// such a method answers `WrongThread` or `Busy` and does nothing. [`LoopCell`](crate::LoopCell) does that for a
/// loop that keeps its state in one.
///
/// # Callbacks
/// Run in the order in which they became due, each with no borrow of the loop's state held, so it may call any
/// method. None is called from inside of the method that takes it, or asks for its next event. A callback is never
/// dropped while it runs; removed from inside itself it is dropped after it returns. An error or panic in a callback goes to
/// the exception handler and the loop goes on.
///
/// # Errors
/// After [`close`](Self::close) every method answers `LoopClosed`, but for `close`, the `is_` methods, `name`, `time`, `stat`
/// and `base`. Those that have no error to give have nothing: `capabilities` 0, `supports` false, `extension` null.
pub trait EventLoop: Send + Sync + 'static {
    /// Runs until [`stop`](Self::stop) (asyncio: `run_forever`). `this` is the outermost object: the loop announces
    /// it with [`host::enter_running`](crate::host::enter_running). Loop's thread.
    ///
    /// # Errors
    /// `LoopRunning` if this loop, or another one in this thread, is running.
    fn run_forever(&self, this: &LoopHandle) -> Result<(), Error> {
        delegate!(self, "run_forever", run_forever_as(this))
    }

    /// One turn: waits at most `timeout_ns` nanoseconds for something to do (`u64::MAX`: no limit), then runs what
    /// is due (asyncio: `_run_once`). Loop's thread.
    fn run_once(&self, this: &LoopHandle, timeout_ns: u64) -> Result<(), Error> {
        delegate!(self, "run_once", run_once_as(this, timeout_ns))
    }

    /// Ends the run after the turn that is under way; before a run, that run ends after one turn (asyncio: `stop`).
    /// Any thread.
    fn stop(&self) -> Result<(), Error> {
        delegate!(self, "stop", stop())
    }

    /// Drops what is pending and gives the system's objects back (asyncio: `close`). Closing twice is fine. Loop's
    /// thread.
    ///
    /// # Errors
    /// `LoopRunning` while the loop runs.
    fn close(&self) -> Result<(), Error> {
        delegate!(self, "close", close())
    }

    /// Whether the loop is running now (asyncio: `is_running`). Any thread.
    fn is_running(&self) -> bool {
        self.base().is_some_and(|base| base.is_running())
    }

    /// Whether the loop has been closed (asyncio: `is_closed`). Any thread.
    fn is_closed(&self) -> bool {
        self.base().is_some_and(|base| base.is_closed())
    }

    /// A descriptor that becomes readable when [`run_once`](Self::run_once) has something to do, to run this loop
    /// inside another one: ask for [`next_deadline`](Self::next_deadline), wait for the descriptor until then, run once with
    /// no time to wait, and so on. The descriptor is the loop's. Loop's thread. `NotSupported` is allowed.
    fn poll_handle(&self) -> Result<Fd, Error> {
        delegate!(self, "poll_handle", poll_handle())
    }

    /// When `run_once` must be called at the latest, on the clock of [`time`](Self::time), in nanoseconds (0: at once;
    /// `u64::MAX`: no deadline). Asked for before each wait, for the loop's answer to callbacks of other threads is then to
    /// make the descriptor readable; after a use of the loop it is asked for again. Loop's thread. `NotSupported` is allowed.
    fn next_deadline(&self) -> Result<u64, Error> {
        delegate!(self, "next_deadline", next_deadline())
    }

    /// Calls `callback` in the next turn, after all that were given before it (asyncio: `call_soon`). Loop's thread.
    fn call_soon(&self, callback: Callback) -> Result<HandleId, Error> {
        delegate!(self, "call_soon", call_soon(callback))
    }

    /// As [`call_soon`](Self::call_soon), and wakes the loop (asyncio: `call_soon_threadsafe`). Any thread.
    fn call_soon_threadsafe(&self, callback: Callback) -> Result<HandleId, Error> {
        delegate!(self, "call_soon_threadsafe", call_soon_threadsafe(callback))
    }

    /// Calls `callback` once the clock of [`time`](Self::time) has reached `when_ns` nanoseconds; at once in the
    /// next turn if it has already (asyncio: `call_at`). Loop's thread.
    fn call_at(&self, when_ns: u64, callback: Callback) -> Result<HandleId, Error> {
        delegate!(self, "call_at", call_at(when_ns, callback))
    }

    /// Drops a callback that has not run yet; true if it will not be called (asyncio: `Handle.cancel`). Loop's
    /// thread.
    fn cancel(&self, id: HandleId) -> Result<bool, Error> {
        delegate!(self, "cancel", cancel(id))
    }

    /// The loop's clock: nanoseconds of `CLOCK_MONOTONIC`, the same origin for every loop of the process (asyncio:
    /// `time`, in seconds). Any thread.
    fn time(&self) -> u64 {
        self.base().map_or(0, |base| base.time())
    }

    /// Calls `callback` in every turn in which `fd` can be read without blocking, level-triggered; replaces an earlier
    /// reader of `fd` (asyncio: `add_reader`). The descriptor is lent until `remove_reader`. Loop's thread.
    ///
    /// # Errors
    /// `FdBusy` if the descriptor is watched by [`watch_io`](Self::watch_io); `Os` with `EPERM` for a regular file.
    fn add_reader(&self, fd: Fd, callback: RepeatCallback) -> Result<(), Error> {
        delegate!(self, "add_reader", add_reader(fd, callback))
    }

    /// Ends [`add_reader`](Self::add_reader); true if there was one (asyncio: `remove_reader`). Loop's thread.
    fn remove_reader(&self, fd: Fd) -> Result<bool, Error> {
        delegate!(self, "remove_reader", remove_reader(fd))
    }

    /// As [`add_reader`](Self::add_reader), for writing (asyncio: `add_writer`). Loop's thread.
    fn add_writer(&self, fd: Fd, callback: RepeatCallback) -> Result<(), Error> {
        delegate!(self, "add_writer", add_writer(fd, callback))
    }

    /// Ends [`add_writer`](Self::add_writer); true if there was one (asyncio: `remove_writer`). Loop's thread.
    fn remove_writer(&self, fd: Fd) -> Result<bool, Error> {
        delegate!(self, "remove_writer", remove_writer(fd))
    }

    /// Watches a stream: an event when `fd` is ready for something that is armed, with the ready bits as its `result`.
    /// The directions of `interest` are armed from the start. Each is told once: an event uses up what it tells, the
    /// other direction stays armed, and [`rearm_io`](Self::rearm_io) adds to what is. With `NONE` it is registered and
    /// silent until then. Not in asyncio. Loop's thread.
    ///
    /// # Errors
    /// `FdBusy` if the descriptor is watched already; `NotSupported` for a bit that the loop does not know
    /// ([`Interest::check_known`]).
    fn watch_io(&self, fd: Fd, interest: Interest, callback: RepeatCallback) -> Result<HandleId, Error> {
        delegate!(self, "watch_io", watch_io(fd, interest, callback))
    }

    /// Arms directions of a stream again, besides those that are armed. Must follow a `WouldBlock` in each of them, or
    /// a read or write that has done less than was asked of it: what was ready before may not be told again, but for an
    /// end-of-file, which is. An event that was not needed may come. Loop's thread.
    ///
    /// # Errors
    /// `NotFound` if there is no such stream; `NotSupported` as for `watch_io`.
    fn rearm_io(&self, id: HandleId, interest: Interest) -> Result<(), Error> {
        delegate!(self, "rearm_io", rearm_io(id, interest))
    }

    /// Ends [`watch_io`](Self::watch_io), before the descriptor is closed; true if it was watched. Loop's thread.
    fn unwatch_io(&self, id: HandleId) -> Result<bool, Error> {
        delegate!(self, "unwatch_io", unwatch_io(id))
    }

    /// Calls `callback` in the loop's thread when the signal arrives, instead of the default action; replaces an
    /// earlier handler of this loop (asyncio: `add_signal_handler`, but from any thread's loop). Loop's thread.
    ///
    /// # Errors
    /// `InvalidArgument` for a number that is no signal or cannot be caught.
    fn add_signal_handler(&self, signum: i32, callback: RepeatCallback) -> Result<(), Error> {
        delegate!(self, "add_signal_handler", add_signal_handler(signum, callback))
    }

    /// Ends [`add_signal_handler`](Self::add_signal_handler); true if there was one (asyncio:
    /// `remove_signal_handler`). Loop's thread.
    fn remove_signal_handler(&self, signum: i32) -> Result<bool, Error> {
        delegate!(self, "remove_signal_handler", remove_signal_handler(signum))
    }

    /// Starts an operation. `Err`: the callback was dropped and nothing started. `Ok`: exactly one final event, never
    /// from inside `submit`; those that are left [`close`](Self::close) tells, before it drops their callbacks. What the
    /// system has not finished by then, a second later, is leaked. Not in asyncio. Loop's thread.
    ///
    /// # Errors
    /// `NotSupported` for what the loop does not have: an operation, a flag, a field, a kind of file.
    ///
    /// # Safety
    /// Everything that `op` points to lives inside `callback` and stays where it is.
    unsafe fn submit(&self, op: &Op, callback: RepeatCallback) -> Result<HandleId, Error> {
        match self.base() {
            // SAFETY: the caller's guarantee is passed on as it is.
            Some(base) => unsafe { base.submit(op, callback) },
            None => Err(Error::not_supported("submit")),
        }
    }

    /// Asks for the end of an operation; its final event comes all the same, and may be a success. False if there is no such
    /// operation, or it has ended. Loop's thread.
    fn cancel_op(&self, id: HandleId) -> Result<bool, Error> {
        delegate!(self, "cancel_op", cancel_op(id))
    }

    /// Whether [`submit`](Self::submit) knows the operation. Any thread.
    fn supports(&self, op: OpCode) -> bool {
        self.base().is_some_and(|base| base.supports(op))
    }

    /// What the loop can and cannot do, as bits of [`Capabilities`]. Any thread.
    fn capabilities(&self) -> u64 {
        self.base().map_or(0, |base| base.capabilities())
    }

    /// The loop's name, for messages. Any thread.
    fn name(&self) -> String {
        self.base().map_or_else(|| "event loop".into(), |base| base.name())
    }

    /// A figure of the loop, see [`Stat`]; `None` if the loop does not count it. Any thread.
    fn stat(&self, stat: Stat) -> Option<u64> {
        self.base()?.stat(stat)
    }

    /// Debug mode: slow callbacks are reported by name, and `close` says what was left (asyncio: `set_debug`).
    /// Loop's thread.
    fn set_debug(&self, on: bool) -> Result<(), Error> {
        delegate!(self, "set_debug", set_debug(on))
    }

    /// Replaces what is done with an error in a callback; `None` restores the default, a log line at level error
    /// (asyncio: `set_exception_handler`). The handler gets an [`ExceptionContext`](crate::ExceptionContext). Loop's
    /// thread.
    fn set_exception_handler(&self, handler: Option<RepeatCallback>) -> Result<(), Error> {
        delegate!(self, "set_exception_handler", set_exception_handler(handler))
    }

    /// Reports an error to the handler (asyncio: `call_exception_handler`). Loop's thread.
    fn call_exception_handler(
        &self,
        message: &str,
        error: Option<Error>,
        details: Vec<KeyValue>,
    ) -> Result<(), Error> {
        delegate!(self, "call_exception_handler", call_exception_handler(message, error, details))
    }

    /// The loop that gets what this one does not write; as Python's `super()`. Any thread.
    fn base(&self) -> Option<LoopHandle> {
        None
    }

    /// The table of extension `vendor.name/1`, or null: see [`ExtensionHead`](crate::ExtensionHead). It lives as long as
    /// this object. Any thread.
    fn extension(&self, id: &str) -> *const c_void {
        self.base().map_or(ptr::null(), |base| base.extension(id))
    }
}

/// The bits of [`EventLoop::capabilities`]; who does not know a bit takes it for 0. Bits 48 to 63 are plugins' own.
///
/// To take it for 0 is right as long as the bit promises something. A loop with a bit of a later minor that restricts, as
/// [`THREAD_BOUND`](Self::THREAD_BOUND) does, must not come to a host that does not know it: its plugin needs that minor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities;

impl Capabilities {
    /// Readers, writers and streams work.
    pub const READINESS: u64 = 1;
    /// `submit` works.
    pub const COMPLETION: u64 = 1 << 1;
    /// Signal handlers work.
    pub const SIGNALS: u64 = 1 << 2;
    /// `poll_handle` and `next_deadline` work.
    pub const EMBEDDABLE: u64 = 1 << 3;
    /// The loop belongs to the thread of its first run, also when it is idle; only `close` works elsewhere, and leaks what is
    /// under way.
    pub const THREAD_BOUND: u64 = 1 << 4;
}

/// The figures of [`EventLoop::stat`]. Numbers from 2³¹ on are plugins' own.
#[repr(transparent)]
#[derive(abi_stable::StableAbi, Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Stat(pub u32);

impl Stat {
    /// Turns since the loop was made.
    pub const TURNS: Self = Self(0);
    /// Callbacks run since the loop was made.
    pub const CALLBACKS: Self = Self(1);
    /// Writes that woke the loop from another thread.
    pub const WAKEUPS: Self = Self(2);
}

impl Error {
    /// [`ErrorCode::LOOP_CLOSED`].
    pub fn loop_closed() -> Self {
        Self::new(ErrorCode::LOOP_CLOSED, "the event loop is closed")
    }
}
