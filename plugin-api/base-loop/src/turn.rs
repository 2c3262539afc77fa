//! What a run does: turns.

use std::{
    io,
    time::{Duration, Instant},
};

use loophost_plugin_api::{
    CallbackName, Error, ErrorCode, Event, EventKind, ExceptionContext, KeyValue, RepeatCallback,
};

use crate::{
    backend::{Backend, Events},
    base_loop::BaseLoop,
    clock,
    id::{Id, Kind},
    ready_queue::Entry,
    signals,
    watches::Change,
};

/// The longest wait, against overflow in the system's timeouts (asyncio: `MAXIMUM_SELECT_TIMEOUT`).
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);
/// Debug mode reports callbacks that take longer (asyncio: `slow_callback_duration`).
const SLOW_CALLBACK: Duration = Duration::from_millis(100);

const SOON: &Event<'static> = &Event::new(EventKind::SOON);
const TIMER: &Event<'static> = &Event::new(EventKind::TIMER);

/// Lists that a run fills again and again.
#[derive(Default)]
pub(crate) struct Buffers {
    events: Events,
    changes: Vec<Change>,
}

impl<B: Backend> BaseLoop<B> {
    /// Turns until a stop.
    pub(crate) fn run_turns(&self) -> Result<(), Error> {
        let mut buffers = Buffers::default();
        loop {
            self.turn(None, &mut buffers)?;
            if self.inbox.take_stop() {
                return Ok(());
            }
        }
    }

    /// One turn, which waits at most `limit`.
    pub(crate) fn turn(&self, limit: Option<Duration>, buffers: &mut Buffers) -> Result<(), Error> {
        let timeout = self.cell.with(|state| state.timeout(clock::now, limit))?;
        self.wait(timeout, &mut buffers.events)?;
        let due = self.cell.with(|state| {
            state.collect(&mut buffers.events, &self.inbox, clock::now, &mut buffers.changes);
            state.ready.len()
        })?;
        self.counters.turned(due);
        for change in buffers.changes.drain(..) {
            if let Err(error) = self.apply(change) {
                self.report("a stream cannot be watched any more", Some(error), Vec::new());
            }
        }
        for _ in 0..due {
            let Some(entry) = self.cell.with(|state| state.ready.pop())? else { break };
            self.run_entry(entry);
        }
        Ok(())
    }

    fn wait(&self, timeout: Option<Duration>, events: &mut Events) -> Result<(), Error> {
        // With no wait there is nothing to wake: other threads are spared a write.
        let at_once = timeout == Some(Duration::ZERO) || !self.inbox.begin_wait();
        let timeout = if at_once { Some(Duration::ZERO) } else { timeout };
        let timeout = timeout.map(|timeout| timeout.min(LONGEST_WAIT));
        let result = self.with_backend(|backend| wait(backend, timeout, events));
        self.inbox.end_wait();
        result?.map_err(|error| Error::os(&error, format_args!("{}: waiting for events", self.name)))
    }

    #[inline]
    fn run_entry(&self, entry: Entry) {
        let Entry { id, callback } = entry;
        if let Some(callback) = callback {
            let (name, event) = (callback.name(), if id.kind() == Kind::Timer { TIMER } else { SOON });
            return self.call(name, || callback.call(event));
        }
        match id.kind() {
            Kind::Reader | Kind::Writer | Kind::Stream => self.run_watch(id),
            Kind::Operation => self.run_operation(id),
            Kind::Signal => self.run_signal(id),
            Kind::Cancelled | Kind::Soon | Kind::Inbox | Kind::Timer => {}
        }
    }

    fn run_watch(&self, id: Id) {
        let Ok(Some((mut callback, number, bits))) = self.cell.with(|state| state.watches.take(id)) else {
            return;
        };
        let event = match id.kind() {
            Kind::Stream => Event::with_result(EventKind::IO, i64::from(bits.0)),
            _ => Event::new(EventKind::READY),
        };
        self.call(callback.name(), || callback.call(&event));
        drop(self.cell.with(|state| state.watches.put_back(id, callback, number)));
    }

    fn run_operation(&self, id: Id) {
        let Ok(Some((mut callback, completion))) = self.cell.with(|state| state.operations.take(id)) else {
            return;
        };
        self.call(callback.name(), || callback.call(&completion.event()));
        if completion.more {
            drop(self.cell.with(|state| state.operations.put_back(id, callback)));
        }
    }

    fn run_signal(&self, id: Id) {
        let event = signals::unpack(id);
        let signum = event.result as i32;
        let Ok(Some((mut callback, number))) = self.cell.with(|state| state.signals.take(signum)) else {
            return;
        };
        self.call(callback.name(), || callback.call(&event));
        drop(self.cell.with(|state| state.signals.put_back(signum, callback, number)));
    }

    /// Calls a callback; its error goes to the exception handler and nowhere else.
    #[inline]
    pub(crate) fn call(&self, name: CallbackName, callback: impl FnOnce() -> Result<(), Error>) {
        let result = if self.is_debug() { self.call_timed(name, callback) } else { callback() };
        if let Err(error) = result {
            self.report_callback(name, error);
        }
    }

    #[cold]
    fn call_timed(
        &self,
        name: CallbackName,
        callback: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let start = Instant::now();
        let result = callback();
        let took = start.elapsed();
        if took > SLOW_CALLBACK {
            tracing::warn!("{}: executing {name} took {:.3} seconds", self.name, took.as_secs_f64());
        }
        result
    }

    #[cold]
    fn report_callback(&self, name: CallbackName, error: Error) {
        let details = vec![KeyValue::new("callback", name)];
        self.report("exception in a callback", Some(error), details);
    }

    /// Tells the exception handler, or the log.
    pub(crate) fn report(&self, message: &str, error: Option<Error>, mut details: Vec<KeyValue>) {
        details.push(KeyValue::new("loop", &self.name));
        let handler = self.cell.with(|state| state.exception_handler.take());
        let Ok(Some((mut handler, number))) = handler else {
            log_exception(message, error.as_ref(), &details);
            return;
        };
        let failed = self.call_handler(&mut handler, message, error.as_ref(), &details);
        drop(self.cell.with(|state| state.exception_handler.put_back(handler, number)));
        if let Err(second) = failed {
            log_exception(message, error.as_ref(), &details);
            log_exception("exception in the exception handler", Some(&second), &details);
        }
    }

    fn call_handler(
        &self,
        handler: &mut RepeatCallback,
        message: &str,
        error: Option<&Error>,
        details: &[KeyValue],
    ) -> Result<(), Error> {
        handler.call(&ExceptionContext::new(message, error, details).event())
    }

    /// Lends the backend, which is away from the state meanwhile: it may call the loop, but not itself.
    pub(crate) fn with_backend<R>(&self, f: impl FnOnce(&mut B) -> R) -> Result<R, Error> {
        let Some(backend) = self.cell.with(|state| state.backend.take())? else {
            return Err(if self.inbox.is_closed() {
                Error::loop_closed()
            } else {
                Error::new(ErrorCode::REENTERED, "the backend called its own loop's backend")
            });
        };
        let mut lent = Lent { owner: self, backend: Some(backend) };
        let backend = lent.backend.as_mut().expect("it is taken by the drop only");
        Ok(f(backend))
    }

    /// Tells the backend about a change of the watches.
    #[inline]
    pub(crate) fn apply(&self, change: Change) -> Result<(), Error> {
        if change == Change::Nothing { Ok(()) } else { self.tell(change) }
    }

    fn tell(&self, change: Change) -> Result<(), Error> {
        let (fd, result) = match change {
            Change::Nothing => return Ok(()),
            Change::Register(fd, key, interest, trigger) => {
                (fd, self.with_backend(|backend| backend.register(fd, key, interest, trigger))?)
            }
            Change::Modify(fd, key, interest, trigger) => (
                fd,
                self.with_backend(|backend| match backend.modify(fd, key, interest, trigger) {
                    // The descriptor was closed and its number is another file's: that one is meant.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        backend.register(fd, key, interest, trigger)
                    }
                    result => result,
                })?,
            ),
            Change::Unregister(fd) => {
                // A descriptor that was closed first is no longer known to the kernel; that is all one can do.
                if let Err(error) = self.with_backend(|backend| backend.unregister(fd))? {
                    tracing::debug!(fd, "{}: descriptor closed while it was watched: {error}", self.name);
                }
                return Ok(());
            }
        };
        result.map_err(|error| Error::os(&error, format_args!("watching descriptor {fd}")))
    }
}

/// Puts the backend back, also when it panics.
struct Lent<'a, B: Backend> {
    owner: &'a BaseLoop<B>,
    backend: Option<Box<B>>,
}

impl<B: Backend> Drop for Lent<'_, B> {
    fn drop(&mut self) {
        let backend = self.backend.take();
        // The owner of the cell is this thread, as it was when the backend was taken.
        let _ = self.owner.cell.with(|state| state.backend = backend);
    }
}

/// Waits, and tries again after a signal with the time that is left.
fn wait<B: Backend>(backend: &mut B, timeout: Option<Duration>, events: &mut Events) -> io::Result<()> {
    let first = match backend.wait(timeout, events) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => timeout,
        result => return result,
    };
    let deadline = first.map(|left| Instant::now() + left);
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match backend.wait(left, events) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cold]
fn log_exception(message: &str, error: Option<&Error>, details: &[KeyValue]) {
    let detail = |key| details.iter().find(|pair| pair.key() == key).map_or("?", KeyValue::value);
    let (event_loop, callback) = (detail("loop"), detail("callback"));
    match error {
        Some(error) => {
            tracing::error!(r#loop = event_loop, callback, "{message}: {error}");
        }
        None => tracing::error!(r#loop = event_loop, callback, "{message}"),
    }
}
