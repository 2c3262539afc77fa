//! The loop's methods.

use std::{
    io, mem,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use loophost_plugin_api::{
    Callback, Capabilities, Error, ErrorCode, EventLoop, Fd, HandleId, Hold, Interest, KeyValue, LoopCell,
    LoopHandle, Op, OpCode, RefMut, RepeatCallback, Running, Stat, host,
};

use crate::{
    backend::Backend,
    clock,
    held::Dropped,
    id::{Id, Kind},
    inbox::Inbox,
    operation::{Operation, not_supported},
    operations::{Cancelled, Operations, Whom},
    over_proactor::OverProactor,
    over_selector::OverSelector,
    proactor::Proactor,
    selector::Selector,
    signals,
    state::{Remains, State},
    turn::Buffers,
    watches::{Change, Direction, Watches},
};

/// The operations that a loop has without its backend.
const OWN: [OpCode; 2] = [OpCode::NOP, OpCode::TIMEOUT];
/// How long a loop that is closed waits for the system to be done with its operations.
const PATIENCE: Duration = Duration::from_secs(1);

/// An event loop around a [`Selector`] (asyncio: `BaseSelectorEventLoop`) or a [`Proactor`] (`BaseProactorEventLoop`).
///
/// Both have readers, writers, streams and all operations of [`OpCode`]; [`OverSelector`] and [`OverProactor`] emulate
/// what the other brings. One descriptor may have readers and operations at the same time.
pub struct BaseLoop<B: Backend> {
    pub(crate) name: String,
    pub(crate) cell: LoopCell<State<B>>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) counters: Counters,
    /// A bit for each operation that there is.
    operations: u64,
    is_embeddable: bool,
    is_thread_bound: bool,
    debug: AtomicBool,
    /// The number of the process that made it: only there it may be used.
    born_in: u64,
}

/// Figures that any thread may read; only the thread that runs the loop writes them.
#[derive(Default)]
pub(crate) struct Counters {
    turns: AtomicU64,
    callbacks: AtomicU64,
}

impl Counters {
    pub(crate) fn turned(&self, callbacks: usize) {
        self.turns.store(self.turns.load(Relaxed) + 1, Relaxed);
        self.callbacks.store(self.callbacks.load(Relaxed) + callbacks as u64, Relaxed);
    }
}

impl<B: Backend> std::fmt::Debug for BaseLoop<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BaseLoop").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<S: Selector> BaseLoop<OverSelector<S>> {
    /// A loop around a selector; `name` is for messages.
    pub fn new(name: impl Into<String>, selector: S) -> Self {
        Self::around(name.into(), OverSelector::new(selector))
    }
}

impl<P: Proactor> BaseLoop<OverProactor<P>> {
    /// A loop around a proactor; `name` is for messages.
    pub fn over_proactor(name: impl Into<String>, proactor: P) -> Self {
        Self::around(name.into(), OverProactor::new(proactor))
    }
}

impl<B: Backend> BaseLoop<B> {
    fn around(name: String, backend: B) -> Self {
        let inbox = Arc::new(Inbox::new(backend.waker()));
        let has = |code: &u32| OWN.contains(&OpCode(*code)) || backend.supports(OpCode(*code));
        let operations = (0..=OpCode::CLOSE.0).filter(has).fold(0, |all, code| all | 1 << code);
        let (is_embeddable, is_thread_bound) = (backend.poll_handle().is_some(), backend.is_thread_bound());
        let stream_trigger = backend.stream_trigger();
        let state = State::new(backend, stream_trigger);
        Self {
            name,
            cell: if is_thread_bound { LoopCell::bound_to_runner(state) } else { LoopCell::new(state) },
            inbox,
            counters: Counters::default(),
            operations,
            is_embeddable,
            is_thread_bound,
            debug: AtomicBool::new(false),
            born_in: host::process_number(),
        }
    }

    pub(crate) fn is_debug(&self) -> bool {
        self.debug.load(Relaxed)
    }

    /// The state of an open loop. What a method was given and a closed one refuses is dropped when the borrow has ended.
    #[inline]
    fn state(&self) -> Result<RefMut<'_, State<B>>, Error> {
        let state = self.cell.borrow_mut()?;
        if state.closed { Err(Error::loop_closed()) } else { Ok(state) }
    }

    /// For methods that use the state several times, or the backend: no other thread comes in between. What they
    /// drop for their caller they drop when the hold has ended and the backend knows of the change, because that is
    /// foreign code, which may change the same again.
    // Inlined, for each method begins with it; its errors are not.
    #[inline(always)]
    fn hold(&self) -> Result<Hold<'_, State<B>>, Error> {
        let hold = self.cell.hold()?;
        self.check_usable()?;
        Ok(hold)
    }

    /// Refuses a closed loop, and in a forked child what would reach the parent's backend.
    #[inline(always)]
    fn check_usable(&self) -> Result<(), Error> {
        let is_usable = !self.inbox.is_closed() && self.is_this_process();
        if is_usable { Ok(()) } else { Err(self.why_unusable()) }
    }

    #[cold]
    fn why_unusable(&self) -> Error {
        if self.inbox.is_closed() {
            return Error::loop_closed();
        }
        let message =
            format!("{} belongs to the parent of this forked process: make a new loop here", self.name);
        Error::new(ErrorCode::FORKED, message)
    }

    #[inline]
    fn is_this_process(&self) -> bool {
        host::process_number() == self.born_in
    }

    /// What both kinds of run begin with.
    fn begin_run(&self, this: &LoopHandle) -> Result<(Running<'_, State<B>>, host::RunningLoop), Error> {
        self.check_usable()?;
        let running = self.cell.run()?;
        Ok((running, host::enter_running(this)?))
    }

    fn add_callback(&self, fd: Fd, direction: Direction, callback: RepeatCallback) -> Result<(), Error> {
        let hold = self.hold()?;
        let set = self.cell.with(|state| state.watches.set(fd, direction, callback))?;
        let (change, replaced) = set.map_err(|(error, _callback)| error)?;
        let result = self.apply(change);
        let refused = match result {
            Ok(()) => None,
            Err(_) => self.cell.with(|state| state.watches.remove(fd, direction))?,
        };
        drop(hold);
        drop((replaced, refused));
        result
    }

    fn remove_callback(&self, fd: Fd, direction: Direction) -> Result<bool, Error> {
        let hold = self.hold()?;
        self.end_watch(hold, |watches| watches.remove(fd, direction))
    }

    /// Takes a watch, or one direction of it, out of the table and tells the backend; false if there was none.
    fn end_watch(
        &self,
        hold: Hold<'_, State<B>>,
        take: impl FnOnce(&mut Watches) -> Option<(Change, Dropped)>,
    ) -> Result<bool, Error> {
        let Some((change, dropped)) = self.cell.with(|state| take(&mut state.watches))? else {
            return Ok(false);
        };
        let result = self.apply(change);
        drop(hold);
        drop(dropped);
        result.map(|()| true)
    }

    /// Ends the operations of a closed loop: each is told its final event, unless the system may still be using its memory.
    fn end_operations(&self, backend: Option<Box<B>>, mut operations: Operations) {
        // The operations of a forked child's copy are its parent's, memory and all.
        if !self.is_this_process() {
            return;
        }
        let (keys, mut completions) = (operations.in_backend(), Vec::new());
        if let Some(mut backend) = backend
            && let Err(error) = backend.end(&keys, PATIENCE, &mut completions)
        {
            tracing::warn!("{}: ending its operations: {error}", self.name);
        }
        operations.end(completions);
        while let Some((id, mut callback, completion)) = operations.take_next() {
            self.call(callback.name(), || callback.call(&completion.event()));
            if completion.more {
                drop(operations.put_back(id, callback));
            }
        }
        let in_use = operations.into_callbacks();
        if !in_use.is_empty() {
            tracing::warn!("{}: closed with {} operations that do not end: leaked", self.name, in_use.len());
            in_use.into_iter().for_each(mem::forget);
        }
    }

    fn report_leaks(&self, remains: &Remains<B>) {
        let counts = [
            (remains.ready.len(), "callbacks"),
            (remains.timers.len(), "timers"),
            (remains.watches.len(), "descriptors"),
            (remains.operations.len(), "operations"),
            (remains.subscriptions.len(), "signal handlers"),
        ];
        let left: Vec<_> = counts
            .into_iter()
            .filter(|(count, _)| *count != 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        if !left.is_empty() {
            tracing::warn!("{}: closed with {} left", self.name, left.join(", "));
        }
    }
}

impl<B: Backend> EventLoop for BaseLoop<B> {
    fn run_forever(&self, this: &LoopHandle) -> Result<(), Error> {
        let _running = self.begin_run(this)?;
        self.run_turns()
    }

    fn run_once(&self, this: &LoopHandle, timeout_ns: u64) -> Result<(), Error> {
        let _running = self.begin_run(this)?;
        let limit = (timeout_ns != u64::MAX).then(|| Duration::from_nanos(timeout_ns));
        let result = self.turn(limit, &mut Buffers::default());
        self.inbox.take_stop();
        result
    }

    fn stop(&self) -> Result<(), Error> {
        if self.inbox.is_closed() {
            return Err(Error::loop_closed());
        }
        self.inbox.request_stop();
        Ok(())
    }

    fn close(&self) -> Result<(), Error> {
        if self.cell.is_running() {
            return Err(Error::new(
                ErrorCode::LOOP_RUNNING,
                "cannot close a running event loop: stop it first",
            ));
        }
        // Also of a loop that belongs to another thread: that one may be gone.
        let hold = self.cell.hold_anywhere()?;
        let (mut remains, inbox) = self.cell.with(|state| (state.take_all(), self.inbox.close()))?;
        drop(hold);
        if self.is_debug() {
            self.report_leaks(&remains);
        }
        for subscription in &remains.subscriptions {
            if let Err(error) = host::signal_unsubscribe(*subscription) {
                tracing::error!("{}: ending a signal's subscription: {error}", self.name);
            }
        }
        self.end_operations(remains.backend.take(), mem::take(&mut remains.operations));
        drop(inbox);
        drop(remains);
        Ok(())
    }

    fn is_running(&self) -> bool {
        self.cell.is_running()
    }

    fn is_closed(&self) -> bool {
        self.inbox.is_closed()
    }

    fn poll_handle(&self) -> Result<Fd, Error> {
        let _hold = self.hold()?;
        self.with_backend(|backend| backend.poll_handle())?.ok_or_else(|| Error::not_supported("poll_handle"))
    }

    fn next_deadline(&self) -> Result<u64, Error> {
        if !self.is_embeddable {
            return Err(Error::not_supported("next_deadline"));
        }
        let _hold = self.hold()?;
        let prepared = self.with_backend(|backend| backend.prepare())?;
        let may_wait =
            prepared.map_err(|error| Error::os(&error, format_args!("{}: submitting", self.name)))?;
        // From here on whoever has something for the loop makes its handle readable.
        if !may_wait || !self.inbox.begin_wait() {
            return Ok(0);
        }
        self.cell
            .with(|state| if state.ready.is_empty() { state.next_deadline().unwrap_or(u64::MAX) } else { 0 })
    }

    #[inline]
    fn call_soon(&self, callback: Callback) -> Result<HandleId, Error> {
        let mut state = self.state()?;
        state.take_in(&self.inbox);
        Ok(state.ready.push_soon(callback).into())
    }

    fn call_soon_threadsafe(&self, callback: Callback) -> Result<HandleId, Error> {
        self.inbox.push(callback)
    }

    fn call_at(&self, when_ns: u64, callback: Callback) -> Result<HandleId, Error> {
        Ok(self.state()?.timers.add(when_ns, callback).into())
    }

    fn cancel(&self, id: HandleId) -> Result<bool, Error> {
        let cancelled = self.state()?.cancel(Id::from(id), &self.inbox);
        Ok(cancelled.is_some())
    }

    fn time(&self) -> u64 {
        clock::now()
    }

    fn add_reader(&self, fd: Fd, callback: RepeatCallback) -> Result<(), Error> {
        self.add_callback(fd, Direction::Read, callback)
    }

    fn remove_reader(&self, fd: Fd) -> Result<bool, Error> {
        self.remove_callback(fd, Direction::Read)
    }

    fn add_writer(&self, fd: Fd, callback: RepeatCallback) -> Result<(), Error> {
        self.add_callback(fd, Direction::Write, callback)
    }

    fn remove_writer(&self, fd: Fd) -> Result<bool, Error> {
        self.remove_callback(fd, Direction::Write)
    }

    fn watch_io(&self, fd: Fd, interest: Interest, callback: RepeatCallback) -> Result<HandleId, Error> {
        let hold = self.hold()?;
        interest.check_known()?;
        let watched = self.cell.with(|state| state.watches.watch(fd, interest, callback))?;
        let (id, change) = watched.map_err(|(error, _callback)| error)?;
        if let Err(error) = self.apply(change) {
            let refused = self.cell.with(|state| state.watches.unwatch(id))?;
            drop(hold);
            drop(refused);
            return Err(error);
        }
        Ok(id)
    }

    fn rearm_io(&self, id: HandleId, interest: Interest) -> Result<(), Error> {
        let _hold = self.hold()?;
        interest.check_known()?;
        let change = self.cell.with(|state| state.watches.rearm(id, interest, &mut state.ready))??;
        self.apply(change)
    }

    fn unwatch_io(&self, id: HandleId) -> Result<bool, Error> {
        let hold = self.hold()?;
        self.end_watch(hold, |watches| watches.unwatch(id))
    }

    fn add_signal_handler(&self, signum: i32, callback: RepeatCallback) -> Result<(), Error> {
        let hold = self.hold()?;
        let callback = match self.cell.with(|state| state.signals.replace(signum, callback))? {
            Ok(replaced) => {
                drop(hold);
                drop(replaced);
                return Ok(());
            }
            Err(callback) => callback,
        };
        let subscription = signals::subscribe(signum, self.inbox.clone())?;
        self.cell.with(|state| state.signals.insert(signum, callback, subscription))
    }

    fn remove_signal_handler(&self, signum: i32) -> Result<bool, Error> {
        let hold = self.hold()?;
        let Some((dropped, subscription)) = self.cell.with(|state| state.signals.remove(signum))? else {
            return Ok(false);
        };
        let result = host::signal_unsubscribe(subscription);
        drop(hold);
        drop(dropped);
        result.map(|_| true)
    }

    #[allow(unsafe_code, reason = "the promise of the caller, which is passed on")]
    unsafe fn submit(&self, op: &Op, callback: RepeatCallback) -> Result<HandleId, Error> {
        let hold = self.hold()?;
        // SAFETY: the caller's promise.
        let operation = unsafe { Operation::promised(op) }?;
        let carried_out_by = match operation.code {
            OpCode::NOP => Whom::Nobody,
            OpCode::TIMEOUT => Whom::Clock(operation.offset),
            code if self.supports(code) => Whom::Backend,
            OpCode(code) => return Err(not_supported(format!("{}: no operation {code}", self.name))),
        };
        let (id, key) =
            self.cell.with(|state| state.operations.insert(callback, carried_out_by, &mut state.ready))?;
        if carried_out_by != Whom::Backend {
            return Ok(id.into());
        }
        let Err(error) = self.with_backend(|backend| backend.submit(key, &operation))? else {
            return Ok(id.into());
        };
        let refused = self.cell.with(|state| state.operations.remove(key))?;
        drop(hold);
        drop(refused);
        let (code, fd) = (operation.code.0, operation.fd);
        Err(match error.kind() {
            io::ErrorKind::Unsupported => not_supported(format!(
                "{}: no operation {code} on descriptor {fd}, a file or with an offset",
                self.name
            )),
            _ => Error::os(&error, format_args!("{}: submitting operation {code} on {fd}", self.name)),
        })
    }

    fn cancel_op(&self, id: HandleId) -> Result<bool, Error> {
        let _hold = self.hold()?;
        let id = Id::from(id);
        if id.kind() != Kind::Operation {
            return Ok(false);
        }
        match self.cell.with(|state| state.operations.cancel(id, &mut state.ready))? {
            Cancelled::No => Ok(false),
            Cancelled::Yes => Ok(true),
            Cancelled::Backend(key) => {
                let result = self.with_backend(|backend| backend.cancel(key))?;
                result.map_err(|error| Error::os(&error, format_args!("{}: cancelling", self.name)))?;
                Ok(true)
            }
        }
    }

    fn supports(&self, op: OpCode) -> bool {
        op.0 < u64::BITS && self.operations & 1 << op.0 != 0 && !self.inbox.is_closed()
    }

    fn capabilities(&self) -> u64 {
        if self.inbox.is_closed() {
            return 0;
        }
        let has = |is: bool, capability| if is { capability } else { 0 };
        Capabilities::READINESS
            | Capabilities::COMPLETION
            | Capabilities::SIGNALS
            | has(self.is_embeddable, Capabilities::EMBEDDABLE)
            | has(self.is_thread_bound, Capabilities::THREAD_BOUND)
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn stat(&self, stat: Stat) -> Option<u64> {
        match stat {
            Stat::TURNS => Some(self.counters.turns.load(Relaxed)),
            Stat::CALLBACKS => Some(self.counters.callbacks.load(Relaxed)),
            Stat::WAKEUPS => Some(self.inbox.wakeups()),
            _ => None,
        }
    }

    fn set_debug(&self, on: bool) -> Result<(), Error> {
        let _hold = self.hold()?;
        self.debug.store(on, Relaxed);
        Ok(())
    }

    fn set_exception_handler(&self, handler: Option<RepeatCallback>) -> Result<(), Error> {
        let mut state = self.state()?;
        let replaced = match handler {
            Some(handler) => state.exception_handler.set(handler),
            None => state.exception_handler.clear(),
        };
        drop(state);
        drop(replaced);
        Ok(())
    }

    fn call_exception_handler(
        &self,
        message: &str,
        error: Option<Error>,
        details: Vec<KeyValue>,
    ) -> Result<(), Error> {
        let _hold = self.hold()?;
        self.report(message, error, details);
        Ok(())
    }
}

impl<B: Backend> Drop for BaseLoop<B> {
    fn drop(&mut self) {
        // Drop is close without the error; nobody else can hold the loop now.
        let _ = self.close();
    }
}
