//! A descriptor that a loop watches, and who waits for it.

use std::{
    io, mem,
    os::fd::RawFd,
    sync::{Arc, Mutex},
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
}

#[derive(Default)]
struct State {
    registration: Option<Registration>,
    /// What the loop has been asked for and has not told yet.
    armed: Interest,
    /// A read has taken all there was, and there was no event since.
    empty: bool,
    readers: Waiters,
    writers: Waiters,
}

/// Where the descriptor is watched.
#[derive(Clone)]
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
    /// How often the direction was told to be ready.
    events: u64,
}

impl Source {
    /// The descriptor must not block, and stay open until [`unwatch`](Self::unwatch).
    pub(super) fn new(fd: RawFd) -> Arc<Self> {
        Arc::new(Self { fd, state: Mutex::default() })
    }

    /// Has the waker woken when the descriptor is ready in that direction. Called after a call would have blocked, for
    /// who asks too early may be told nothing.
    pub(super) fn wake_when_ready(self: &Arc<Self>, direction: Interest, waker: &Waker) -> io::Result<()> {
        let ask = {
            let mut state = lock(&self.state);
            state.waiters(direction).add(waker);
            let is_here = |registration: &Registration| running::is_running(&registration.event_loop);
            match &state.registration {
                Some(registration) if is_here(registration) => {
                    if state.armed.contains(direction) {
                        return Ok(());
                    }
                    Some(registration.clone())
                }
                _ => None,
            }
        };
        // With no lock held: the loop is somebody else's code.
        let asked = match ask {
            Some(Registration { event_loop, id, .. }) => {
                event_loop.rearm_io(id, direction).map(|()| direction)
            }
            None => self.watch(),
        };
        let asked = asked?;
        let mut state = lock(&self.state);
        state.armed = state.armed.union(asked);
        Ok(())
    }

    /// Begins to watch on the loop that runs here whatever is waited for, and ends it on another one; those who wait there
    /// are woken from here.
    fn watch(self: &Arc<Self>) -> Result<Interest, Error> {
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
        lock(&self.state).registration = Some(Registration { event_loop, id, generation });
        Ok(direction)
    }

    fn on_ready(&self, event: &Event) {
        let ready = Interest(event.result as u32);
        let [readers, writers] = {
            let mut state = lock(&self.state);
            state.armed = state.armed.difference(ready);
            state.empty &= !ready.contains(Interest::READ);
            [Interest::READ, Interest::WRITE].map(|direction| {
                if ready.contains(direction) { state.waiters(direction).take() } else { (None, Vec::new()) }
            })
        };
        let wakers =
            [readers, writers].into_iter().flat_map(|(first, others)| first.into_iter().chain(others));
        executor::wake_with_turn(wakers);
    }

    /// How often the descriptor was ready in that direction.
    pub(super) fn events(&self, direction: Interest) -> u64 {
        lock(&self.state).waiters(direction).events
    }

    /// How often there was something to read; `None` if a read has taken all of it.
    pub(super) fn events_unless_empty(&self) -> Option<u64> {
        let state = lock(&self.state);
        (!state.empty).then_some(state.readers.events)
    }

    /// A read has taken all there was, after so many events: if there was another one meanwhile, there may be more.
    pub(super) fn set_empty(&self, events: u64) {
        let mut state = lock(&self.state);
        state.empty = state.readers.events == events;
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
        self.events += 1;
        (self.first.take(), mem::take(&mut self.others))
    }
}
