//! A descriptor that a loop watches, and who waits for it.

use std::{
    io, mem,
    os::fd::RawFd,
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Release},
        },
    },
    task::Waker,
};

use crate::{
    Callback, Error, Event, HandleId, Interest, LoopHandle, RepeatCallback, executor, policy, process::lock,
    running, sys::fork_mark,
};

/// What the loop's callback and whoever waits have in common.
pub(super) struct Source {
    fd: RawFd,
    state: Mutex<State>,
    /// How often the loop has told that it is ready for reading. Changed with the state locked.
    read_events: AtomicU64,
    /// The same for writing.
    write_events: AtomicU64,
    /// After how many events for reading a read has taken all there was: without another one there is nothing to read.
    emptied_at: AtomicU64,
}

#[derive(Default)]
struct State {
    registration: Option<Registration>,
    /// What the loop has been asked for and has not told yet.
    armed: Interest,
    readers: Waiters,
    writers: Waiters,
}

/// Where the descriptor is watched.
struct Registration {
    event_loop: LoopHandle,
    id: HandleId,
    /// The process whose loop it is.
    generation: u64,
}

/// Who waits for one direction.
#[derive(Default)]
struct Waiters {
    /// Nearly always there is but one.
    first: Option<Waker>,
    others: Vec<Waker>,
}

impl Source {
    /// The descriptor must not block, and stay open until [`unwatch`](Self::unwatch).
    pub(super) fn new(fd: RawFd) -> Arc<Self> {
        Arc::new(Self {
            fd,
            state: Mutex::default(),
            read_events: AtomicU64::new(0),
            write_events: AtomicU64::new(0),
            emptied_at: AtomicU64::new(u64::MAX),
        })
    }

    /// Has the waker woken when the descriptor is ready in that direction. Called after a call would have blocked, for
    /// who asks too early may be told nothing.
    pub(super) fn wake_when_ready(self: &Arc<Self>, direction: Interest, waker: &Waker) -> io::Result<()> {
        let rearmed = running::with_loop(|event_loop| {
            let id = {
                let mut state = lock(&self.state);
                state.waiters(direction).add(waker);
                let registration = state.registration.as_ref();
                let id = registration.filter(|registration| registration.event_loop.same(event_loop))?.id;
                if state.armed.contains(direction) {
                    return Some(Ok(()));
                }
                state.armed = state.armed.union(direction);
                id
            };
            // With no lock held: the loop is somebody else's code.
            let rearmed = event_loop.rearm_io(id, direction);
            if rearmed.is_err() {
                let mut state = lock(&self.state);
                state.armed = state.armed.difference(direction);
            }
            Some(rearmed)
        });
        Ok(rearmed.flatten().unwrap_or_else(|| self.watch())?)
    }

    /// Begins to watch on the loop that runs here whatever is waited for, and ends it on another one; those who wait there
    /// are woken from here.
    fn watch(self: &Arc<Self>) -> Result<(), Error> {
        let event_loop = policy::get_running_loop()?;
        self.unwatch(|| {});
        let direction = lock(&self.state).waited_for();
        let this = self.clone();
        let callback = RepeatCallback::new(move |event| {
            this.on_ready(event);
            Ok(())
        });
        let id = event_loop.watch_io(self.fd.into(), direction, callback)?;
        let generation = fork_mark::generation();
        let mut state = lock(&self.state);
        state.registration = Some(Registration { event_loop, id, generation });
        state.armed = state.armed.union(direction);
        Ok(())
    }

    fn on_ready(&self, event: &Event) {
        let ready = Interest(event.result as u32);
        let [readers, writers] = {
            let mut state = lock(&self.state);
            state.armed = state.armed.difference(ready);
            [Interest::READ, Interest::WRITE].map(|direction| {
                if !ready.contains(direction) {
                    return (None, Vec::new());
                }
                let events = self.events_of(direction);
                events.store(events.load(Acquire) + 1, Release);
                state.waiters(direction).take()
            })
        };
        let wakers =
            [readers, writers].into_iter().flat_map(|(first, others)| first.into_iter().chain(others));
        executor::wake_with_turn(wakers);
    }

    /// How often the descriptor was ready in that direction.
    pub(super) fn events(&self, direction: Interest) -> u64 {
        self.events_of(direction).load(Acquire)
    }

    fn events_of(&self, direction: Interest) -> &AtomicU64 {
        if direction == Interest::READ { &self.read_events } else { &self.write_events }
    }

    /// How often there was something to read; `None` if a read has taken all of it.
    pub(super) fn events_unless_empty(&self) -> Option<u64> {
        let events = self.events(Interest::READ);
        (events != self.emptied_at.load(Acquire)).then_some(events)
    }

    /// A read has taken all there was, after so many events: if there was another one meanwhile, there may be more.
    pub(super) fn set_empty(&self, events: u64) {
        self.emptied_at.store(events, Release);
    }

    /// Ends watching, and calls `then` when that is done: at once, or where another thread's loop has heard of it.
    pub(super) fn unwatch(&self, then: impl FnOnce() + Send + 'static) {
        let registration = {
            let mut state = lock(&self.state);
            state.armed = Interest::NONE;
            state.registration.take()
        };
        let Some(Registration { event_loop, id, generation }) = registration else { return then() };
        if generation != fork_mark::generation() {
            // In a forked child: the parent goes on watching.
            return then();
        }
        let is_here = running::is_running(&event_loop) || !event_loop.is_running();
        // A loop that is closed watches nothing any more.
        if event_loop.is_closed() || is_here && event_loop.unwatch_io(id).is_ok() {
            return then();
        }
        let there = event_loop.clone();
        let callback = Callback::new(move |_| {
            let unwatched = there.unwatch_io(id);
            then();
            unwatched.map(drop)
        });
        // If it is closed meanwhile it drops the callback, and what `then` holds with it.
        let _ = event_loop.call_soon_threadsafe(callback);
    }
}

impl State {
    fn waiters(&mut self, direction: Interest) -> &mut Waiters {
        if direction == Interest::READ { &mut self.readers } else { &mut self.writers }
    }

    fn waited_for(&self) -> Interest {
        let waited_for = |waiters: &Waiters, direction| {
            if waiters.first.is_none() { Interest::NONE } else { direction }
        };
        waited_for(&self.readers, Interest::READ).union(waited_for(&self.writers, Interest::WRITE))
    }
}

impl Waiters {
    fn add(&mut self, waker: &Waker) {
        match &self.first {
            None => self.first = Some(waker.clone()),
            Some(first) if first.will_wake(waker) => {}
            Some(_) if self.others.iter().any(|other| other.will_wake(waker)) => {}
            Some(_) => self.others.push(waker.clone()),
        }
    }

    fn take(&mut self) -> (Option<Waker>, Vec<Waker>) {
        (self.first.take(), mem::take(&mut self.others))
    }
}
