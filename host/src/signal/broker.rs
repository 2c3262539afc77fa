//! The broker: who is subscribed to which signal, and the thread that calls them.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use loophost_plugin_api::__private::guard;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};

use super::{PULSE, handler, mask, name};
use crate::{
    Error, Event, EventKind, HandleId, RepeatCallback, advice,
    process::{SignalSet, lock},
    sys::{
        per_process::PerProcess, signal_arrival::SignalArrival, signal_handler, signal_set,
        signalfd::SignalFd,
    },
};

/// Enough for callbacks that hop to a loop or write a log line.
const STACK_SIZE: usize = 256 * 1024;

/// Between two pulses, for those who want them.
const PERIOD: Duration = Duration::from_secs(1);

/// The broker of this process.
pub(super) fn get() -> &'static Broker {
    static BROKER: PerProcess<Broker> = PerProcess::new(|_| Broker::default());
    BROKER.get()
}

#[derive(Default)]
pub(super) struct Broker {
    state: Mutex<State>,
    /// Notified when the call of a callback, and its drop if it was unsubscribed meanwhile, is over.
    call_over: Condvar,
}

#[derive(Default)]
struct State {
    service: Option<Service>,
    /// In the order of subscription.
    subscriptions: Vec<Subscription>,
    /// What the service thread is calling now.
    calling: Option<HandleId>,
    /// Whether it was told already that other code replaces our handlers.
    was_displaced: bool,
}

struct Subscription {
    id: HandleId,
    signum: i32,
    /// Whether it is called once a second too, whatever has arrived.
    pulses: bool,
    /// `None` while it is being called.
    callback: Option<RepeatCallback>,
}

/// What the broker's thread and those who subscribe share.
struct Service {
    thread: ThreadId,
    /// Wakes it.
    wake: &'static EventFd,
    /// `None` if no signal is reserved. Never closed: the thread reads from it.
    signalfd: Option<&'static SignalFd>,
}

impl Broker {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn subscribe(
        &'static self,
        signum: i32,
        pulses: bool,
        callback: RepeatCallback,
    ) -> Result<HandleId, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let (id, displaced) = {
            let mut state = self.lock();
            if state.service.is_none() {
                state.service = Some(Service::start(self)?);
            }
            let subscribed = state.is_subscribed(signum);
            let displaced = if mask::reserved().contains(signum) {
                state.watch_reserved(state.subscribed().with(signum))?;
                false
            } else {
                if !subscribed {
                    // What is there came for those who have gone.
                    signal_handler::forget(signum);
                }
                handler::install(signum)? && subscribed
            };
            let id = HandleId(NEXT.fetch_add(1, Relaxed));
            state.subscriptions.push(Subscription { id, signum, pulses, callback: Some(callback) });
            if pulses && let Some(service) = &state.service {
                // It may be asleep without end.
                let _ = service.wake.write(1);
            }
            (id, displaced)
        };
        if displaced {
            warn_displaced(signum);
        }
        Ok(id)
    }

    /// Looks whether the handler of a signal that somebody has subscribed to is still ours, and puts it back if not.
    pub(super) fn verify(&self, signum: i32) -> Result<(), Error> {
        let mut state = self.lock();
        if mask::reserved().contains(signum) || !state.is_subscribed(signum) || !handler::install(signum)? {
            return Ok(());
        }
        // Who does it again and again need not be told of again and again.
        let is_news = !std::mem::replace(&mut state.was_displaced, true);
        drop(state);
        if is_news {
            warn_displaced(signum);
        }
        Ok(())
    }

    pub(super) fn unsubscribe(&self, id: HandleId) -> Result<bool, Error> {
        let mut state = self.lock();
        let removed = state.remove(id);
        let ended = removed.as_ref().map(|removed| removed.signum).filter(|s| !state.is_subscribed(*s));
        let restored = ended.map_or(Ok(true), |signum| state.end(signum));
        // Somebody else may have ended it while its callback was running.
        while state.calling == Some(id) && !state.is_service_thread() {
            state = self.call_over.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        let was_subscribed = removed.is_some();
        // Foreign code, so after the lock.
        drop(removed);
        if !restored? {
            tracing::warn!(
                "other code has replaced the handler of {}; it stays in place",
                ended.map_or_else(String::new, name)
            );
        }
        Ok(was_subscribed)
    }

    /// What has arrived by handler, and who is told: under one lock, so that nobody is told of what came before the first
    /// subscription.
    fn take_arrived(&self) -> Vec<(SignalArrival, Vec<HandleId>)> {
        let state = self.lock();
        signal_handler::take_arrived().map(|arrival| (arrival, state.ids_of(arrival.signum))).collect()
    }

    /// Calls the subscribers of a signal that has arrived. What is subscribed from inside a callback waits for the next one.
    fn deliver(&self, arrival: SignalArrival, ids: Vec<HandleId>) {
        let mut event = Event::with_result(EventKind::SIGNAL, i64::from(arrival.signum));
        event.flags = if arrival.from_kernel { Event::FROM_KERNEL } else { 0 };
        event.aux = u64::from(arrival.sender);
        ids.into_iter().for_each(|id| self.call(id, arrival.signum, &event));
    }

    /// Calls those who want to be called in any case.
    fn pulse(&self) {
        let pulsing = self.lock().pulsing();
        for (id, signum) in pulsing {
            if let Err(error) = self.verify(signum) {
                tracing::error!("{error}");
            }
            let mut event = Event::with_result(EventKind::SIGNAL, i64::from(signum));
            event.flags = PULSE;
            self.call(id, signum, &event);
        }
    }

    fn call(&self, id: HandleId, signum: i32, event: &Event) {
        // It may have been unsubscribed since.
        let Some(mut callback) = self.begin_call(id) else { return };
        let result = callback.call(event);
        let callback_name = callback.name();
        self.end_call(id, callback);
        if let Err(error) = result {
            tracing::error!("{callback_name}, called for {}: {error}", name(signum));
        }
    }

    fn has_pulses(&self) -> bool {
        self.lock().subscriptions.iter().any(|subscription| subscription.pulses)
    }

    fn begin_call(&self, id: HandleId) -> Option<RepeatCallback> {
        let mut state = self.lock();
        let callback = state.find(id)?.callback.take()?;
        state.calling = Some(id);
        Some(callback)
    }

    fn end_call(&self, id: HandleId, callback: RepeatCallback) {
        let unsubscribed = self.lock().put_back(id, callback);
        drop(unsubscribed);
        self.lock().calling = None;
        self.call_over.notify_all();
    }
}

impl State {
    fn of(&self, signum: i32) -> impl Iterator<Item = &Subscription> {
        self.subscriptions.iter().filter(move |subscription| subscription.signum == signum)
    }

    fn ids_of(&self, signum: i32) -> Vec<HandleId> {
        self.of(signum).map(|subscription| subscription.id).collect()
    }

    fn is_subscribed(&self, signum: i32) -> bool {
        self.of(signum).next().is_some()
    }

    fn pulsing(&self) -> Vec<(HandleId, i32)> {
        let pulsing = self.subscriptions.iter().filter(|subscription| subscription.pulses);
        pulsing.map(|subscription| (subscription.id, subscription.signum)).collect()
    }

    fn subscribed(&self) -> SignalSet {
        self.subscriptions.iter().map(|subscription| subscription.signum).collect()
    }

    fn find(&mut self, id: HandleId) -> Option<&mut Subscription> {
        self.subscriptions.iter_mut().find(|subscription| subscription.id == id)
    }

    fn remove(&mut self, id: HandleId) -> Option<Subscription> {
        let at = self.subscriptions.iter().position(|subscription| subscription.id == id)?;
        Some(self.subscriptions.remove(at))
    }

    /// Gives the callback back if it was unsubscribed while it was called.
    fn put_back(&mut self, id: HandleId, callback: RepeatCallback) -> Option<RepeatCallback> {
        match self.find(id) {
            Some(subscription) => {
                subscription.callback = Some(callback);
                None
            }
            None => Some(callback),
        }
    }

    fn is_service_thread(&self) -> bool {
        self.service.as_ref().is_some_and(|service| service.thread == thread::current().id())
    }

    /// Reads those of the set that are reserved; the others come by handler.
    fn watch_reserved(&self, set: SignalSet) -> Result<(), Error> {
        let Some(signalfd) = self.service.as_ref().and_then(|service| service.signalfd) else {
            return Ok(());
        };
        signalfd
            .watch(set.intersection(mask::reserved()))
            .map_err(|error| Error::os(&error, "changing the signals of the signalfd"))
    }

    /// The last subscriber of a signal has gone; false if its handler is somebody else's by now.
    fn end(&self, signum: i32) -> Result<bool, Error> {
        if mask::reserved().contains(signum) {
            self.watch_reserved(self.subscribed())?;
            return Ok(true);
        }
        handler::restore(signum)
    }
}

fn warn_displaced(signum: i32) {
    tracing::warn!(
        "other code had replaced the handler of {}; it is in place again and calls the other one",
        name(signum)
    );
}

/// What the broker's thread waits for; the thread never ends, so the handler always has something to write to.
struct Sources {
    wake: &'static EventFd,
    signalfd: Option<&'static SignalFd>,
}

impl Service {
    fn start(broker: &'static Broker) -> Result<Self, Error> {
        let failed = |what| {
            move |error: io::Error| {
                let what = format!("starting the thread that receives signals: {what}");
                Error::os(&error, advice::explained(&what, &error))
            }
        };
        let signalfd = match mask::reserved() {
            SignalSet::EMPTY => None,
            _ => Some(SignalFd::new().map_err(failed("making a signalfd"))?),
        };
        let wake = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(|errno| failed("making an eventfd")(errno.into()))?;
        let wake: &EventFd = Box::leak(Box::new(wake));
        let (fd, signalfd) = (wake.as_fd().as_raw_fd(), signalfd.map(|fd| &*Box::leak(Box::new(fd))));
        let sources = Sources { wake, signalfd };
        let serving = signal_set::with_all_blocked(|| {
            thread::Builder::new()
                .name("loophost-signal".into())
                .stack_size(STACK_SIZE)
                .spawn(move || sources.serve(broker))
        });
        let serving = serving.and_then(|spawned| spawned).map_err(failed("making a thread"))?;
        signal_handler::wake_by(fd);
        Ok(Self { thread: serving.thread().id(), wake, signalfd })
    }
}

impl Sources {
    fn serve(self, broker: &Broker) {
        let mut pulsed = Instant::now();
        loop {
            let delivered = guard(|| {
                let has_pulses = broker.has_pulses();
                self.wait(has_pulses.then(|| PERIOD.saturating_sub(pulsed.elapsed())));
                // Read before the signals are taken, so that one that comes in between wakes us again.
                let _ = self.wake.read();
                broker.take_arrived().into_iter().for_each(|(arrival, ids)| broker.deliver(arrival, ids));
                while let Some(arrival) = self.next_reserved() {
                    let ids = broker.lock().ids_of(arrival.signum);
                    broker.deliver(arrival, ids);
                }
                if has_pulses && pulsed.elapsed() >= PERIOD {
                    broker.pulse();
                    pulsed = Instant::now();
                }
                Ok(())
            });
            if let Err(error) = delivered.into_result() {
                tracing::error!("delivering a signal: {error}");
            }
        }
    }

    /// Waits until there may be something to take, but not for longer than `limit`.
    fn wait(&self, limit: Option<Duration>) {
        let mut fds = vec![PollFd::new(self.wake.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.signalfd.map(|signalfd| PollFd::new(signalfd.as_fd(), PollFlags::POLLIN)));
        let timeout = limit.map_or(PollTimeout::NONE, |limit| {
            // Rounded up, or the last millisecond would be spent in turns that do nothing.
            PollTimeout::try_from(limit.as_millis() + 1).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => tracing::error!("waiting for signals: {errno}"),
        }
    }

    fn next_reserved(&self) -> Option<SignalArrival> {
        self.signalfd?.take().unwrap_or_else(|error| {
            tracing::error!("reading from the signalfd: {error}");
            None
        })
    }
}
