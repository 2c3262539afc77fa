//! A loop of a plugin in C, as everybody's [`EventLoop`]. The thread rule and the end of its life are kept here, so that
//! not every plugin has to.

use std::{
    ffi::c_void,
    ptr,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
};

use loophost_plugin_api::{
    Callback, Capabilities, Error, ErrorCode, EventLoop, Fd, HandleId, Hold, Interest, KeyValue, LoopCell,
    LoopHandle, Op, OpCode, RepeatCallback, Stat, host,
};
use nix::time::{ClockId, clock_gettime};

use super::{
    abi::LoopTable,
    callback::{Words, with_c_context},
    convert::{InC, asks_plugin, delegate},
    result::{Heard, ask, require},
    text,
};

pub(super) struct CLoop {
    table: LoopTable,
    data: *mut c_void,
    base: Option<LoopHandle>,
    /// What the plugin has called it: asked for once, so that it has a name also when the plugin is not called any more.
    name: Option<String>,
    /// Whose turn it is to use `data`.
    cell: LoopCell<()>,
    closed: AtomicBool,
    /// The number of the process that made it: only there it may be used.
    born_in: u64,
}

// SAFETY: `loophost.h` says on which threads each function is called: those for the loop's thread are called under
// `cell`, and a plugin must expect the others on any.
unsafe impl Send for CLoop {}
// SAFETY: as above.
unsafe impl Sync for CLoop {}

impl CLoop {
    pub(super) fn new(table: LoopTable, data: *mut c_void, base: Option<LoopHandle>) -> Result<Self, Error> {
        if base.is_none() {
            require(
                "loophost_loop_vtable",
                &[
                    ("run_forever", table.run_forever.is_some()),
                    ("run_once", table.run_once.is_some()),
                    ("stop", table.stop.is_some()),
                    ("close", table.close.is_some()),
                    ("call_soon", table.call_soon.is_some()),
                    ("call_soon_threadsafe", table.call_soon_threadsafe.is_some()),
                    ("call_at", table.call_at.is_some()),
                    ("cancel", table.cancel.is_some()),
                    ("time", table.time.is_some()),
                ],
            )?;
        }
        // SAFETY: the table is that of `data`; the buffer has that room.
        let name = table.name.map(|name| text::named(|buffer, room| unsafe { name(data, buffer, room) }));
        let (closed, born_in) = (AtomicBool::new(false), host::process_number());
        let mut this = Self { table, data, base, name, cell: LoopCell::new(()), closed, born_in };
        if this.capabilities() & Capabilities::THREAD_BOUND != 0 {
            this.cell = LoopCell::bound_to_runner(());
        }
        Ok(this)
    }

    /// For what the loop's thread may do: no other one comes in between.
    fn hold(&self) -> Result<Hold<'_, ()>, Error> {
        let hold = self.cell.hold()?;
        self.check()?;
        Ok(hold)
    }

    /// For what any thread may do.
    fn check(&self) -> Result<(), Error> {
        if self.closed.load(SeqCst) {
            return Err(Error::loop_closed());
        }
        if self.is_ours() {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::FORKED,
            format!("{} belongs to the parent of this forked process: make a new loop here", self.name()),
        ))
    }

    /// Whether the plugin may be called, for methods that cannot say why not.
    fn is_open(&self) -> bool {
        !self.closed.load(SeqCst) && self.is_ours()
    }

    /// Whether it was made in this process, and not in one that this was forked from.
    fn is_ours(&self) -> bool {
        host::process_number() == self.born_in
    }
}

impl EventLoop for CLoop {
    fn run_forever(&self, this: &LoopHandle) -> Result<(), Error> {
        self.check()?;
        let _running = self.cell.run()?;
        let Some(function) = self.table.run_forever else { return delegate!(self, run_forever_as(this)) };
        // SAFETY: the table is that of `data`; `this` is lent for the call.
        ask("run_forever", |error| unsafe { function(self.data, ptr::from_ref(this).cast_mut(), error) })?;
        Ok(())
    }

    fn run_once(&self, this: &LoopHandle, timeout_ns: u64) -> Result<(), Error> {
        self.check()?;
        let _running = self.cell.run()?;
        let Some(function) = self.table.run_once else {
            return delegate!(self, run_once_as(this, timeout_ns));
        };
        // SAFETY: as above.
        ask("run_once", |error| unsafe {
            function(self.data, ptr::from_ref(this).cast_mut(), timeout_ns, error)
        })?;
        Ok(())
    }

    fn close(&self) -> Result<(), Error> {
        if self.cell.is_running() {
            return Err(Error::new(
                ErrorCode::LOOP_RUNNING,
                "a running event loop cannot be closed: stop it first",
            ));
        }
        // Also of a loop that is bound to another thread: that one may be gone.
        let _hold = self.cell.hold_anywhere()?;
        // What is dropped meanwhile finds it closed.
        if self.closed.swap(true, SeqCst) || !self.is_ours() {
            return Ok(());
        }
        let result = match self.table.close {
            None => delegate!(self, close()),
            // SAFETY: the table is that of `data`, and no other thread uses it.
            Some(function) => ask("close", |error| unsafe { function(self.data, error) }).map(drop),
        };
        self.closed.store(result.is_ok(), SeqCst);
        result
    }

    fn is_running(&self) -> bool {
        match (self.table.is_running, &self.base) {
            _ if !self.is_open() => self.cell.is_running(),
            // SAFETY: the table is that of `data`.
            (Some(function), _) => unsafe { function(self.data) != 0 },
            (None, Some(base)) => base.is_running(),
            (None, None) => self.cell.is_running(),
        }
    }

    fn is_closed(&self) -> bool {
        match (self.table.is_closed, &self.base) {
            _ if !self.is_open() => self.closed.load(SeqCst),
            // SAFETY: the table is that of `data`.
            (Some(function), _) => unsafe { function(self.data) != 0 },
            (None, Some(base)) => base.is_closed(),
            (None, None) => self.closed.load(SeqCst),
        }
    }

    asks_plugin! {
        check fn stop() -> say ();
        hold fn poll_handle() -> out Fd;
        hold fn next_deadline() -> out u64;
        hold fn call_soon(callback: Callback) -> out HandleId;
        check fn call_soon_threadsafe(callback: Callback) -> out HandleId;
        hold fn call_at(when_ns: u64, callback: Callback) -> out HandleId;
        hold fn cancel(id: HandleId) -> say bool;
        hold fn add_reader(fd: Fd, callback: RepeatCallback) -> say ();
        hold fn remove_reader(fd: Fd) -> say bool;
        hold fn add_writer(fd: Fd, callback: RepeatCallback) -> say ();
        hold fn remove_writer(fd: Fd) -> say bool;
        hold fn watch_io(fd: Fd, interest: Interest, callback: RepeatCallback) -> out HandleId;
        hold fn rearm_io(id: HandleId, interest: Interest) -> say ();
        hold fn unwatch_io(id: HandleId) -> say bool;
        hold fn add_signal_handler(signum: i32, callback: RepeatCallback) -> say ();
        hold fn remove_signal_handler(signum: i32) -> say bool;
        hold fn cancel_op(id: HandleId) -> say bool;
        hold fn set_debug(on: bool) -> say ();
    }

    unsafe fn submit(&self, op: &Op, callback: RepeatCallback) -> Result<HandleId, Error> {
        let _hold = self.hold()?;
        let Some(function) = self.table.submit else {
            return match &self.base {
                // SAFETY: the caller's guarantee is passed on as it is.
                Some(base) => unsafe { base.submit(op, callback) },
                None => Err(Error::not_supported("submit")),
            };
        };
        let mut id = 0;
        // SAFETY: the table is that of `data`; what `op` points to lives inside the callback, as the caller guarantees.
        ask("submit", |error| unsafe {
            function(self.data, ptr::from_ref(op), Words::give(callback), &raw mut id, error)
        })?;
        Ok(HandleId(id))
    }

    fn time(&self) -> u64 {
        match (self.table.time, &self.base) {
            _ if !self.is_open() => now(),
            // SAFETY: the table is that of `data`.
            (Some(function), _) => unsafe { function(self.data) },
            (None, base) => base.as_ref().map_or(0, LoopHandle::time),
        }
    }

    fn supports(&self, op: OpCode) -> bool {
        match (self.table.supports, &self.base) {
            _ if !self.is_open() => false,
            // SAFETY: the table is that of `data`.
            (Some(function), _) => unsafe { function(self.data, op.0) != 0 },
            (None, base) => base.as_ref().is_some_and(|base| base.supports(op)),
        }
    }

    fn capabilities(&self) -> u64 {
        match (self.table.capabilities, &self.base) {
            _ if !self.is_open() => 0,
            // SAFETY: the table is that of `data`.
            (Some(function), _) => unsafe { function(self.data) },
            (None, base) => base.as_ref().map_or(0, LoopHandle::capabilities),
        }
    }

    fn name(&self) -> String {
        match (&self.name, &self.base) {
            (Some(name), _) => name.clone(),
            (None, Some(base)) => base.name(),
            (None, None) => "event loop".into(),
        }
    }

    fn stat(&self, stat: Stat) -> Option<u64> {
        let Some(function) = self.table.stat else { return self.base.as_ref()?.stat(stat) };
        if !self.is_open() {
            return None;
        }
        let mut value = 0;
        // SAFETY: the table is that of `data`.
        (unsafe { function(self.data, stat.0, &raw mut value) } > 0).then_some(value)
    }

    fn set_exception_handler(&self, handler: Option<RepeatCallback>) -> Result<(), Error> {
        let _hold = self.hold()?;
        let Some(function) = self.table.set_exception_handler else {
            return delegate!(self, set_exception_handler(handler));
        };
        let handler = handler.map_or(Words::NONE, Words::give);
        // SAFETY: the table is that of `data`.
        ask("set_exception_handler", |error| unsafe { function(self.data, handler, error) })?;
        Ok(())
    }

    fn call_exception_handler(
        &self,
        message: &str,
        error: Option<Error>,
        details: Vec<KeyValue>,
    ) -> Result<(), Error> {
        let _hold = self.hold()?;
        let Some(function) = self.table.call_exception_handler else {
            return delegate!(self, call_exception_handler(message, error, details));
        };
        with_c_context(message, error.as_ref(), &details, |context| {
            // SAFETY: the table is that of `data`; the context is lent for the call.
            ask("call_exception_handler", |error| unsafe { function(self.data, context, error) })
        })?;
        Ok(())
    }

    fn base(&self) -> Option<LoopHandle> {
        self.base.clone()
    }

    fn extension(&self, id: &str) -> *const c_void {
        match (self.table.extension, &self.base) {
            _ if !self.is_open() => ptr::null(),
            // SAFETY: the table is that of `data`.
            (Some(function), _) => unsafe { function(self.data, text::to_c(id).as_ptr()) },
            (None, base) => base.as_ref().map_or(ptr::null(), |base| base.extension(id)),
        }
    }
}

/// The clock of every loop, for one whose plugin is not called any more.
fn now() -> u64 {
    // clock_gettime(2) with CLOCK_MONOTONIC cannot fail on any system that this builds on.
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("CLOCK_MONOTONIC exists");
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}

impl Drop for CLoop {
    fn drop(&mut self) {
        // What a forked child finds belongs to the parent.
        if !self.is_ours() {
            return;
        }
        // Drop is close without the error; nobody else can hold the loop now. What is a base may have other users.
        if self.base.is_none() {
            let _ = EventLoop::close(self);
        }
        if let Some(drop) = self.table.drop {
            // SAFETY: the table is that of `data`, and this is its last use.
            unsafe { drop(self.data) }
        }
    }
}
