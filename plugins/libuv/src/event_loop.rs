//! The loop's methods.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use loophost_plugin_api::{
    Callback, Capabilities, Error, ErrorCode, EventLoop, Fd, HandleId, Interest, KeyValue, LoopHandle,
    RepeatCallback, Stat, host,
};
use nix::time::{ClockId, clock_gettime};

use crate::{
    id::Id,
    inbox::Inbox,
    repeated::Repeated,
    signals,
    state::State,
    sys::{Handles, Library, Run, UvLoop},
    watches::Direction,
};

pub(crate) const NAME: &str = "UvEventLoop";

/// libuv's event loop.
pub(crate) struct UvEventLoop {
    uv: UvLoop<State>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) counters: Counters,
    debug: AtomicBool,
    /// The number of the process that made it: only there it may be used.
    born_in: u64,
}

/// Figures that any thread may read; only the thread that runs the loop writes them.
#[derive(Default)]
pub(crate) struct Counters {
    turns: AtomicU64,
    callbacks: AtomicU64,
    wakeups: AtomicU64,
}

impl Counters {
    pub(crate) fn turned(&self, callbacks: usize) {
        self.turns.store(self.turns.load(Relaxed) + 1, Relaxed);
        self.callbacks.store(self.callbacks.load(Relaxed) + callbacks as u64, Relaxed);
    }

    pub(crate) fn woken(&self) {
        self.wakeups.store(self.wakeups.load(Relaxed) + 1, Relaxed);
    }
}

impl UvEventLoop {
    pub(crate) fn new(library: Arc<Library>) -> io::Result<Self> {
        let (uv, waker) = UvLoop::new(library)?;
        Ok(Self {
            uv,
            inbox: Arc::new(Inbox::new(waker)),
            counters: Counters::default(),
            debug: AtomicBool::new(false),
            born_in: host::process_number(),
        })
    }

    /// Uses the state, and libuv's handles with it. No foreign code runs in here: not a callback, not its drop.
    #[inline]
    pub(crate) fn state<R>(&self, f: impl FnOnce(&mut Handles, &mut State) -> R) -> Result<R, Error> {
        self.check_process()?;
        self.uv.with(f)
    }

    pub(crate) fn is_debug(&self) -> bool {
        self.debug.load(Relaxed)
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.inbox.is_closed() { Err(Error::loop_closed()) } else { self.check_process() }
    }

    fn is_of_this_process(&self) -> bool {
        host::process_number() == self.born_in
    }

    /// Refuses what would reach the parent's epoll from a forked child.
    fn check_process(&self) -> Result<(), Error> {
        if self.is_of_this_process() {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::FORKED,
            format!("{NAME} belongs to the parent of this forked process: make a new loop here"),
        ))
    }

    /// Both kinds of run.
    fn run(&self, this: &LoopHandle, run: Run, turn_ends: Option<u64>) -> Result<(), Error> {
        self.check_open()?;
        let _own = self.uv.own()?;
        let _running = host::enter_running(this)?;
        self.state(|handles, state| {
            state.turn_ends = turn_ends;
            // What the last turn has left: newer libuvs look at it before they tell us that they are about to wait.
            handles.set_wait(None);
        })?;
        let result = self.uv.run(run, self);
        self.state(|_, state| state.turn_ends = None)?;
        result
    }

    fn add_callback(&self, fd: Fd, direction: Direction, callback: RepeatCallback) -> Result<(), Error> {
        let callback = Repeated::new(callback);
        // A share stays here, so that a callback which is refused is not dropped inside.
        let set = self.state(|handles, state| state.watches.set(handles, fd, direction, callback.clone()))?;
        set.map(drop)
    }

    fn remove_callback(&self, fd: Fd, direction: Direction) -> Result<bool, Error> {
        let removed = self.state(|handles, state| state.watches.remove(handles, fd, direction))?;
        Ok(removed.is_some())
    }

    fn report_leaks(&self, state: &State, inbox: usize) {
        let counts = [
            (state.calls.ready.len() + inbox, "callbacks"),
            (state.calls.timers(), "timers"),
            (state.watches.len(), "descriptors"),
            (state.signals.iter().len(), "signal handlers"),
        ];
        let left: Vec<_> = counts
            .into_iter()
            .filter(|(count, _)| *count != 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        if !left.is_empty() {
            tracing::warn!("{NAME}: closed with {} left", left.join(", "));
        }
    }
}

impl EventLoop for UvEventLoop {
    fn run_forever(&self, this: &LoopHandle) -> Result<(), Error> {
        self.run(this, Run::UntilStop, None)
    }

    fn run_once(&self, this: &LoopHandle, timeout_ns: u64) -> Result<(), Error> {
        let ends = (timeout_ns != u64::MAX).then(|| self.time().saturating_add(timeout_ns));
        self.run(this, Run::Once, ends)
    }

    fn stop(&self) -> Result<(), Error> {
        self.check_open()?;
        self.inbox.request_stop();
        Ok(())
    }

    fn close(&self) -> Result<(), Error> {
        if self.uv.is_running() {
            return Err(Error::new(
                ErrorCode::LOOP_RUNNING,
                "cannot close a running event loop: stop it first",
            ));
        }
        let is_ours = self.is_of_this_process();
        let state = if is_ours { self.uv.close() } else { self.uv.abandon() }?;
        let inbox = self.inbox.close();
        if self.is_debug() {
            self.report_leaks(&state, inbox.len());
        }
        for handler in state.signals.iter() {
            if let Err(error) = host::signal_unsubscribe(handler.subscription) {
                tracing::error!("{NAME}: ending a signal's subscription: {error}");
            }
        }
        Ok(())
    }

    fn is_running(&self) -> bool {
        self.uv.is_running()
    }

    fn is_closed(&self) -> bool {
        self.inbox.is_closed()
    }

    /// libuv's epoll.
    fn poll_handle(&self) -> Result<Fd, Error> {
        self.state(|handles, _| handles.backend_fd())
    }

    fn next_deadline(&self) -> Result<u64, Error> {
        let now = self.time();
        let wait = self.state(|handles, state| {
            // The kernel does not know yet what libuv tells it when it waits.
            if handles.has_changed() {
                return Some(Duration::ZERO);
            }
            let wait = state.wait(&self.inbox, || now);
            handles.set_wait(wait);
            wait.into_iter().chain(handles.backend_timeout()).min()
        })?;
        Ok(wait.map_or(u64::MAX, |wait| now.saturating_add(wait.as_nanos() as u64)))
    }

    #[inline]
    fn call_soon(&self, callback: Callback) -> Result<HandleId, Error> {
        // Lent and taken inside: a refused one must not be dropped there, nor one be copied several times.
        let mut callback = Some(callback);
        let id = self.state(|_, state| {
            self.inbox.drain(&mut state.calls.ready);
            callback.take().map(|callback| state.calls.soon(callback))
        })?;
        id.map(Into::into).ok_or_else(Error::loop_closed)
    }

    fn call_soon_threadsafe(&self, callback: Callback) -> Result<HandleId, Error> {
        self.check_process()?;
        self.inbox.post(callback).map(Into::into)
    }

    fn call_at(&self, when_ns: u64, callback: Callback) -> Result<HandleId, Error> {
        Ok(self.state(move |_, state| state.calls.at(when_ns, callback))?.into())
    }

    fn cancel(&self, id: HandleId) -> Result<bool, Error> {
        let cancelled = self.state(|_, state| match Id::parse(id)? {
            Id::Call(key) => state.calls.cancel(key),
            Id::Posted(number) => self.inbox.cancel(number).or_else(|| state.calls.cancel_posted(number)),
            Id::Stream(_) => None,
        })?;
        Ok(cancelled.is_some())
    }

    fn time(&self) -> u64 {
        // clock_gettime(2) with CLOCK_MONOTONIC cannot fail on any system that this builds on.
        let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("CLOCK_MONOTONIC exists");
        time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
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
        self.check_open().and_then(|()| interest.check_known())?;
        let callback = Repeated::new(callback);
        let id =
            self.state(|handles, state| state.watches.watch(handles, fd, interest, callback.clone()))??;
        Ok(id.into())
    }

    fn rearm_io(&self, id: HandleId, interest: Interest) -> Result<(), Error> {
        self.check_open().and_then(|()| interest.check_known())?;
        let number = stream(id);
        self.state(|handles, state| state.watches.rearm(handles, number, interest))?
    }

    fn unwatch_io(&self, id: HandleId) -> Result<bool, Error> {
        let unwatched = self.state(|handles, state| state.watches.unwatch(handles, stream(id)))?;
        Ok(unwatched.is_some())
    }

    fn add_signal_handler(&self, signum: i32, callback: RepeatCallback) -> Result<(), Error> {
        let _hold = self.uv.hold()?;
        let callback = Repeated::new(callback);
        if self.state(|_, state| state.signals.replace(signum, callback.clone()))?.is_some() {
            return Ok(());
        }
        let subscription = signals::subscribe(signum, self.inbox.clone())?;
        self.state(|_, state| state.signals.insert(signum, callback, subscription))
    }

    fn remove_signal_handler(&self, signum: i32) -> Result<bool, Error> {
        match self.state(|_, state| state.signals.remove(signum))? {
            Some(handler) => host::signal_unsubscribe(handler.subscription).map(|_| true),
            None => Ok(false),
        }
    }

    fn capabilities(&self) -> u64 {
        if self.inbox.is_closed() {
            return 0;
        }
        Capabilities::READINESS | Capabilities::SIGNALS | Capabilities::EMBEDDABLE
    }

    fn name(&self) -> String {
        NAME.into()
    }

    fn stat(&self, stat: Stat) -> Option<u64> {
        let counter = match stat {
            Stat::TURNS => &self.counters.turns,
            Stat::CALLBACKS => &self.counters.callbacks,
            Stat::WAKEUPS => &self.counters.wakeups,
            _ => return None,
        };
        Some(counter.load(Relaxed))
    }

    fn set_debug(&self, on: bool) -> Result<(), Error> {
        self.state(|_, _| self.debug.store(on, Relaxed))
    }

    fn set_exception_handler(&self, handler: Option<RepeatCallback>) -> Result<(), Error> {
        let handler = handler.map(Repeated::new);
        let replaced =
            self.state(|_, state| std::mem::replace(&mut state.exception_handler, handler.clone()))?;
        drop(replaced);
        Ok(())
    }

    fn call_exception_handler(
        &self,
        message: &str,
        error: Option<Error>,
        details: Vec<KeyValue>,
    ) -> Result<(), Error> {
        // Refuses as the others do; the handler itself is called with nothing borrowed.
        let _hold = self.uv.hold()?;
        self.state(|_, _| ())?;
        self.report(message, error, details);
        Ok(())
    }
}

impl Drop for UvEventLoop {
    fn drop(&mut self) {
        // Drop is close without the error; nobody else can hold the loop now.
        let _ = self.close();
    }
}

/// The number of a stream; one that was never given if the id is of another kind.
fn stream(id: HandleId) -> u64 {
    match Id::parse(id) {
        Some(Id::Stream(number)) => number,
        _ => 0,
    }
}
