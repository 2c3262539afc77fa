//! What a turn does, as libuv calls it.

use std::time::{Duration, Instant};

use loophost_plugin_api::{CallbackName, Error, Event, EventKind, EventLoop, Fd, Interest};

use crate::{
    calls::Due,
    event_loop::{NAME, UvEventLoop},
    sys::Calls,
    table::Key,
    watches::cannot_watch,
};

/// Debug mode reports callbacks that take longer (asyncio: `slow_callback_duration`).
const SLOW_CALLBACK: Duration = Duration::from_millis(100);

const SOON: &Event<'static> = &Event::new(EventKind::SOON);
const TIMER: &Event<'static> = &Event::new(EventKind::TIMER);
const READY: &Event<'static> = &Event::new(EventKind::READY);

// The state cannot be refused in here: this thread runs the loop, and nothing is borrowed.
impl Calls for UvEventLoop {
    fn before_wait(&self) {
        let stopped = self.state(|handles, _| handles.stop_unwatchable()).unwrap_or_default();
        for (fd, error) in stopped {
            self.report(
                "a descriptor was closed while it was watched",
                Some(cannot_watch(fd, &error)),
                Vec::new(),
            );
        }
        let _ = self.state(|handles, state| handles.set_wait(state.wait(&self.inbox, || self.time())));
    }

    fn after_wait(&self) {
        let due = self.state(|_, state| {
            state.collect(&self.inbox, || self.time());
            state.calls.ready.len()
        });
        let due = due.unwrap_or(0);
        self.counters.turned(due);
        for _ in 0..due {
            match self.state(|_, state| state.calls.ready.pop_front()) {
                Ok(Some(due)) => self.run_due(due),
                _ => break,
            }
        }
        if self.inbox.take_stop() {
            let _ = self.state(|handles, _| handles.stop());
        }
    }

    fn woken(&self) {
        self.counters.woken();
    }

    fn ready(&self, fd: Fd, ready: Interest, stopped: bool) {
        let _ = self.state(|handles, state| {
            state.watches.on_ready(handles, fd, ready, stopped, &mut state.noted);
        });
    }
}

impl UvEventLoop {
    #[inline]
    fn run_due(&self, due: Due) {
        match due {
            Due::Soon(key) => self.run_call(key, SOON),
            Due::Timer(key) => self.run_call(key, TIMER),
            Due::Posted(_, Some(callback)) => self.call(callback.name(), || callback.call(SOON)),
            Due::Posted(_, None) => {}
            Due::Ready(fd, number, direction) => {
                if let Ok(Some(callback)) =
                    self.state(|_, state| state.watches.callback(fd, number, direction))
                {
                    self.call(callback.name(), || callback.call(READY));
                }
            }
            Due::Stream(fd, number) => {
                if let Ok(Some((callback, bits))) =
                    self.state(|_, state| state.watches.take_event(fd, number))
                {
                    let event = Event::with_result(EventKind::IO, bits.0.into());
                    self.call(callback.name(), || callback.call(&event));
                }
            }
            Due::Signal(arrived) => {
                if let Ok(Some(callback)) = self.state(|_, state| state.signals.handler(&arrived)) {
                    self.call(callback.name(), || callback.call(&arrived.event()));
                }
            }
        }
    }

    #[inline]
    fn run_call(&self, key: Key, event: &Event<'_>) {
        if let Ok(Some(callback)) = self.state(|_, state| state.calls.take(key)) {
            self.call(callback.name(), || callback.call(event));
        }
    }

    /// Calls a callback; its error goes to the exception handler and nowhere else.
    #[inline]
    fn call(&self, name: CallbackName, callback: impl FnOnce() -> Result<(), Error>) {
        let result = if self.is_debug() { call_timed(name, callback) } else { callback() };
        if let Err(error) = result {
            self.report_callback(name, error);
        }
    }
}

#[cold]
fn call_timed(name: CallbackName, callback: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    let start = Instant::now();
    let result = callback();
    let took = start.elapsed();
    if took > SLOW_CALLBACK {
        tracing::warn!("{NAME}: executing {name} took {:.3} seconds", took.as_secs_f64());
    }
    result
}
