//! The loop's methods.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use loophost_plugin_api::{
    Callback, Capabilities, Error, ErrorCode, EventLoop, Fd, HandleId, Hold, Interest, KeyValue, LoopCell,
    LoopHandle, RepeatCallback, Running, Stat, host,
};

use crate::{
    clock,
    held::Dropped,
    id::Id,
    inbox::Inbox,
    selector::Selector,
    signals,
    state::{Remains, State},
    turn::Buffers,
    watches::{Change, Direction, Watches},
};

/// An event loop around a [`Selector`] (asyncio: `BaseSelectorEventLoop`).
pub struct BaseLoop<S: Selector> {
    pub(crate) name: String,
    pub(crate) cell: LoopCell<State<S>>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) counters: Counters,
    debug: AtomicBool,
    /// Whether it was made in a child of fork(2): only there it may be used.
    born_in_fork: bool,
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

impl<S: Selector> std::fmt::Debug for BaseLoop<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BaseLoop").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<S: Selector> BaseLoop<S> {
    /// A loop; `name` is for messages.
    pub fn new(name: impl Into<String>, selector: S) -> Self {
        let inbox = Arc::new(Inbox::new(selector.waker()));
        let stream_trigger = selector.stream_trigger();
        Self {
            name: name.into(),
            cell: LoopCell::new(State::new(selector, stream_trigger)),
            inbox,
            counters: Counters::default(),
            debug: AtomicBool::new(false),
            born_in_fork: host::forked(),
        }
    }

    pub(crate) fn is_debug(&self) -> bool {
        self.debug.load(Relaxed)
    }

    /// Gives `what` to the state of an open loop. A closed one refuses it; it is dropped when the borrow has ended.
    #[inline]
    fn give<T, R>(&self, what: T, f: impl FnOnce(&mut State<S>, T) -> R) -> Result<R, Error> {
        // Lent and taken inside: moved in with a closure, four words would be copied several times.
        let mut what = Some(what);
        let given = self
            .cell
            .with(|state| if state.closed { None } else { what.take().map(|what| f(state, what)) })?;
        given.ok_or_else(Error::loop_closed)
    }

    /// For methods that use the state several times, or the selector: no other thread comes in between. What they
    /// drop for their caller they drop when the hold has ended and the selector knows of the change, because that is
    /// foreign code, which may change the same again.
    fn hold(&self) -> Result<Hold<'_, State<S>>, Error> {
        let hold = self.cell.hold()?;
        self.check_open()?;
        self.check_process()?;
        Ok(hold)
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.inbox.is_closed() { Err(Error::loop_closed()) } else { Ok(()) }
    }

    /// Refuses what would reach the parent's selector from a forked child.
    fn check_process(&self) -> Result<(), Error> {
        if host::forked() == self.born_in_fork {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::FORKED,
            format!("{} belongs to the parent of this forked process: make a new loop here", self.name),
        ))
    }

    /// What both kinds of run begin with.
    fn begin_run(&self, this: &LoopHandle) -> Result<(Running<'_, State<S>>, host::RunningLoop), Error> {
        self.check_open()?;
        self.check_process()?;
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

    /// Takes a watch, or one direction of it, out of the table and tells the selector; false if there was none.
    fn end_watch(
        &self,
        hold: Hold<'_, State<S>>,
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

    fn report_leaks(&self, remains: &Remains<S>) {
        let counts = [
            (remains.ready.len(), "callbacks"),
            (remains.timers.len(), "timers"),
            (remains.watches.len(), "descriptors"),
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

impl<S: Selector> EventLoop for BaseLoop<S> {
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
        self.check_open()?;
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
        let (remains, inbox) = self.cell.with(|state| (state.take_all(), self.inbox.close()))?;
        if self.is_debug() {
            self.report_leaks(&remains);
        }
        for subscription in &remains.subscriptions {
            if let Err(error) = host::signal_unsubscribe(*subscription) {
                tracing::error!("{}: ending a signal's subscription: {error}", self.name);
            }
        }
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

    #[inline]
    fn call_soon(&self, callback: Callback) -> Result<HandleId, Error> {
        let id = self.give(callback, |state, callback| {
            state.take_in(&self.inbox);
            state.ready.push_soon(callback)
        })?;
        Ok(id.into())
    }

    fn call_soon_threadsafe(&self, callback: Callback) -> Result<HandleId, Error> {
        self.inbox.push(callback)
    }

    fn call_at(&self, when_ns: u64, callback: Callback) -> Result<HandleId, Error> {
        Ok(self.give(callback, |state, callback| state.timers.add(when_ns, callback))?.into())
    }

    fn cancel(&self, id: HandleId) -> Result<bool, Error> {
        let cancelled = self.give(id, |state, id| state.cancel(Id::from(id), &self.inbox))?;
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

    fn capabilities(&self) -> u64 {
        Capabilities::READINESS | Capabilities::SIGNALS
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
        let replaced = self.give(handler, |state, handler| match handler {
            Some(handler) => state.exception_handler.set(handler),
            None => state.exception_handler.clear(),
        })?;
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

impl<S: Selector> Drop for BaseLoop<S> {
    fn drop(&mut self) {
        // Drop is close without the error; nobody else can hold the loop now.
        let _ = self.close();
    }
}
