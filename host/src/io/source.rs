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
    /// Where it is watched still, by loops that run elsewhere and have not heard that they need not.
    left: Vec<Registration>,
    /// How many registrations there were.
    registrations: u64,
    readers: Waiters,
    writers: Waiters,
}

/// Where the descriptor is watched.
#[derive(Clone)]
struct Registration {
    number: u64,
    event_loop: LoopHandle,
    /// `None` as long as the loop is being asked.
    id: Option<HandleId>,
    /// What the loop has been asked for and has not told yet.
    armed: Interest,
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
        let rearm = {
            let mut state = lock(&self.state);
            state.waiters(direction).add(waker);
            let is_here = |registration: &&mut Registration| running::is_running(&registration.event_loop);
            match state.registration.as_mut().filter(is_here) {
                Some(registration) if registration.armed.contains(direction) => return Ok(()),
                Some(registration) => {
                    registration.armed = registration.armed.union(direction);
                    registration.id.map(|id| (registration.event_loop.clone(), id, registration.number))
                }
                None => None,
            }
        };
        // With no lock held: the loop is somebody else's code.
        let Some((event_loop, id, number)) = rearm else { return Ok(self.watch()?) };
        event_loop.rearm_io(id, direction).inspect_err(|_| {
            let mut state = lock(&self.state);
            if let Some(registration) = state.current(number) {
                registration.armed = registration.armed.difference(direction);
            }
        })?;
        Ok(())
    }

    /// Begins to watch on the loop that runs here whatever is waited for, and ends it on another one; those who wait there
    /// are woken from here.
    fn watch(self: &Arc<Self>) -> Result<(), Error> {
        let event_loop = policy::get_running_loop()?;
        let (number, direction, before, returned) = {
            let mut state = lock(&self.state);
            let (number, direction) = (state.registrations, state.waited_for());
            state.registrations += 1;
            let fresh = Registration {
                number,
                event_loop: event_loop.clone(),
                id: None,
                armed: direction,
                generation: fork_mark::generation(),
            };
            let before = state.registration.replace(fresh);
            before.iter().for_each(|before| state.left.push(before.clone()));
            let is_here = |left: &mut Registration| left.event_loop.same(&event_loop);
            (number, direction, before, state.left.extract_if(.., is_here).collect::<Vec<_>>())
        };
        // A loop that it comes back to before that loop has heard that it had gone would say that it is watched already.
        for id in returned.into_iter().filter_map(|left| left.id) {
            // If it cannot, it says the same of watching.
            let _ = event_loop.unwatch_io(id);
        }
        if let Some(before) = before {
            let (this, number) = (Arc::downgrade(self), before.number);
            before.end(move || {
                if let Some(this) = this.upgrade() {
                    lock(&this.state).left.retain(|left| left.number != number);
                }
            });
        }
        let this = self.clone();
        let callback = RepeatCallback::new(move |event| {
            this.on_ready(number, event);
            Ok(())
        });
        let watched = event_loop.watch_io(self.fd.into(), direction, callback);
        let mut state = lock(&self.state);
        match (watched, state.current(number)) {
            (Ok(id), Some(registration)) => registration.id = Some(id),
            // Another thread has moved it to its loop meanwhile.
            (Ok(id), None) => {
                drop(state);
                event_loop.unwatch_io(id)?;
            }
            (Err(error), Some(_)) => {
                state.registration = None;
                let wakers = state.take_waiters(Interest::BOTH);
                drop(state);
                // Who waits for the other direction asks for itself.
                wakers.for_each(Waker::wake);
                return Err(error);
            }
            (Err(error), None) => return Err(error),
        }
        Ok(())
    }

    fn on_ready(&self, number: u64, event: &Event) {
        let ready = Interest(event.result as u32);
        let wakers = {
            let mut state = lock(&self.state);
            // Of a loop that it has left: the one that it has gone to tells the same.
            let Some(registration) = state.current(number) else { return };
            registration.armed = registration.armed.difference(ready);
            for direction in [Interest::READ, Interest::WRITE] {
                if ready.contains(direction) {
                    let events = self.events_of(direction);
                    events.store(events.load(Acquire) + 1, Release);
                }
            }
            state.take_waiters(ready)
        };
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

    /// Ends watching, and drops `io` when no loop watches it any more: at once, or when those that run in other threads have
    /// heard of it.
    pub(super) fn unwatch(&self, io: impl Send + 'static) {
        let (registration, left) = {
            let mut state = lock(&self.state);
            (state.registration.take(), mem::take(&mut state.left))
        };
        if left.is_empty() {
            return match registration {
                Some(registration) => registration.end(move || drop(io)),
                None => drop(io),
            };
        }
        let io = Arc::new(Mutex::new(io));
        for registration in left.into_iter().chain(registration) {
            let io = io.clone();
            registration.end(move || drop(io));
        }
    }
}

impl Registration {
    /// Has the loop end it, and calls `then` when it has.
    fn end(self, then: impl FnOnce() + Send + 'static) {
        let Self { event_loop, id: Some(id), generation, .. } = self else { return then() };
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
    /// The registration of that number, if there was no other one since.
    fn current(&mut self, number: u64) -> Option<&mut Registration> {
        self.registration.as_mut().filter(|registration| registration.number == number)
    }

    /// Those who wait for one of these directions.
    fn take_waiters(&mut self, directions: Interest) -> impl Iterator<Item = Waker> + use<> {
        let (mut firsts, mut others) = ([None, None], Vec::new());
        for (direction, first) in [Interest::READ, Interest::WRITE].into_iter().zip(&mut firsts) {
            if directions.contains(direction) {
                let waiters = self.waiters(direction);
                *first = waiters.first.take();
                others.append(&mut waiters.others);
            }
        }
        firsts.into_iter().flatten().chain(others)
    }

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
}
