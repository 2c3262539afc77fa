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

use smallvec::SmallVec;

use crate::{
    Callback, Error, Event, HandleId, Interest, LoopHandle, RepeatCallback, executor, policy, process::lock,
    running, sys::fork_mark,
};

/// A descriptor, watched by each loop on which somebody waits for it: so nobody depends on a loop of others, which may stop
/// turning. The last loop on which somebody has waited goes on watching: mostly somebody soon waits again.
pub(super) struct Source {
    fd: RawFd,
    state: Mutex<State>,
    /// How often a loop has told that it is ready for reading. Changed with the state locked.
    read_events: AtomicU64,
    /// The same for writing.
    write_events: AtomicU64,
    /// After how many events for reading a read has taken all there was: without another one there is nothing to read.
    emptied_at: AtomicU64,
}

#[derive(Default)]
struct State {
    /// One for each loop, and nearly always there is but one.
    registrations: SmallVec<[Registration; 1]>,
    /// The number of the next one.
    next_number: u64,
}

/// Where the descriptor is watched, and who waits there.
struct Registration {
    number: u64,
    event_loop: LoopHandle,
    /// The process whose loop it is.
    generation: u64,
    /// `None` as long as the loop is being asked.
    id: Option<HandleId>,
    /// Its loop lets go of it, or has been asked to in another thread and has not come to that yet.
    is_leaving: bool,
    /// What the loop has been asked for and has not told yet.
    armed: Interest,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Who waits beside these, and for what. Nearly always nobody.
    others: Vec<(Interest, Waker)>,
}

/// Who has waited, to be woken with no lock held.
#[derive(Default)]
struct Taken {
    reader: Option<Waker>,
    writer: Option<Waker>,
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
        let waits = running::queue().and_then(|queue| self.wait_on(queue.event_loop(), direction, waker));
        match waits {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(error.into()),
            None => Ok(self.watch(direction, waker)?),
        }
    }

    /// Waits on the loop that runs here; `None` if it does not watch the descriptor yet.
    #[inline]
    fn wait_on(
        &self,
        event_loop: &LoopHandle,
        direction: Interest,
        waker: &Waker,
    ) -> Option<Result<(), Error>> {
        let (id, number) = {
            let mut state = lock(&self.state);
            let is_here = |registration: &&mut Registration| registration.event_loop.same(event_loop);
            let registration = state.registrations.iter_mut().find(is_here)?;
            registration.add(direction, waker);
            let id = registration.id.filter(|_| !registration.armed.contains(direction));
            let Some(id) = id else { return Some(Ok(())) };
            registration.armed = registration.armed.union(direction);
            (id, registration.number)
        };
        // With no lock held: the loop is somebody else's code.
        let rearmed = event_loop.rearm_io(id, direction);
        if rearmed.is_err()
            && let Some(registration) = lock(&self.state).numbered(number)
        {
            registration.armed = registration.armed.difference(direction);
            registration.remove(direction, waker);
        }
        Some(rearmed)
    }

    /// Begins to watch on the loop that runs here.
    fn watch(self: &Arc<Self>, direction: Interest, waker: &Waker) -> Result<(), Error> {
        let event_loop = policy::get_running_loop()?;
        let number = {
            let mut state = lock(&self.state);
            let number = state.next_number;
            state.next_number += 1;
            let mut registration = Registration {
                number,
                event_loop: event_loop.clone(),
                generation: fork_mark::generation(),
                id: None,
                is_leaving: false,
                armed: direction,
                reader: None,
                writer: None,
                others: Vec::new(),
            };
            registration.add(direction, waker);
            state.registrations.push(registration);
            number
        };
        let watcher = Watcher { source: self.clone(), number };
        let callback = RepeatCallback::new(move |event| {
            watcher.on_ready(event);
            Ok(())
        });
        let id =
            event_loop.watch_io(self.fd.into(), direction, callback).inspect_err(|_| self.forget(number))?;
        if let Some(registration) = lock(&self.state).numbered(number) {
            registration.id = Some(id);
        }
        Ok(())
    }

    /// Asks the loops where nobody waits to let go, for there are others. One that tells edges would go on being woken for a
    /// descriptor that has left it.
    fn leave_unused(self: &Arc<Self>) {
        let unused: Vec<_> = {
            let mut state = lock(&self.state);
            state.registrations.iter_mut().filter_map(Registration::ask_to_go).collect()
        };
        for (event_loop, number) in unused {
            let source = self.clone();
            let callback = Callback::new(move |_| source.let_go(number));
            // If that is refused the loop is closed, or it is woken in vain.
            let _ = if running::is_running(&event_loop) {
                // After those who have just been woken: they may wait again.
                event_loop.call_soon(callback)
            } else {
                event_loop.call_soon_threadsafe(callback)
            };
        }
    }

    /// Ends a registration if still nobody waits there and another one stays. In its loop's thread, so that nobody comes back
    /// meanwhile.
    fn let_go(&self, number: u64) -> Result<(), Error> {
        let leaving = {
            let mut state = lock(&self.state);
            let another_stays = state.another_stays(number);
            state.numbered(number).and_then(|registration| {
                registration.is_leaving = another_stays && registration.is_unused();
                let id = registration.id.filter(|_| registration.is_leaving)?;
                Some((registration.event_loop.clone(), id))
            })
        };
        leaving.map_or(Ok(()), |(event_loop, id)| event_loop.unwatch_io(id).map(drop))
    }

    /// Takes a registration off the list; who waits there is to ask again.
    fn forget(&self, number: u64) {
        let registration = {
            let mut state = lock(&self.state);
            let index = state.registrations.iter().position(|registration| registration.number == number);
            index.map(|index| state.registrations.swap_remove(index))
        };
        // With no lock held: wakers are anybody's.
        if let Some(mut registration) = registration {
            registration.take_waiters(Interest::BOTH).wake();
        }
    }

    /// How often the descriptor was ready in that direction.
    #[inline]
    pub(super) fn events(&self, direction: Interest) -> u64 {
        self.events_of(direction).load(Acquire)
    }

    #[inline]
    fn events_of(&self, direction: Interest) -> &AtomicU64 {
        if direction == Interest::READ { &self.read_events } else { &self.write_events }
    }

    /// How often there was something to read; `None` if a read has taken all of it.
    #[inline]
    pub(super) fn events_unless_empty(&self) -> Option<u64> {
        let events = self.events(Interest::READ);
        (events != self.emptied_at.load(Acquire)).then_some(events)
    }

    /// A read has taken all there was, after so many events: if there was another one meanwhile, there may be more.
    #[inline]
    pub(super) fn set_empty(&self, events: u64) {
        self.emptied_at.store(events, Release);
    }

    /// Ends watching, and drops `io` when no loop watches it any more: at once, or when loops in other threads have heard of
    /// it.
    pub(super) fn unwatch(&self, io: impl Send + 'static) {
        let mut registrations = mem::take(&mut lock(&self.state).registrations);
        let Some(last) = registrations.pop() else { return drop(io) };
        if registrations.is_empty() {
            return last.end(io);
        }
        // A lock that nobody takes: what may be sent may so be shared.
        let io = Arc::new(Mutex::new(io));
        registrations.into_iter().for_each(|registration| registration.end(io.clone()));
        last.end(io);
    }
}

/// What a loop's callback has of a source. Dropped with the callback, also where a loop is closed, it ends the registration.
struct Watcher {
    source: Arc<Source>,
    number: u64,
}

impl Watcher {
    fn on_ready(&self, event: &Event) {
        let ready = Interest(event.result as u32);
        let (waiters, another_stays) = {
            let mut state = lock(&self.source.state);
            // Nearly always there is but one loop.
            let another_stays = state.registrations.len() > 1 && state.another_stays(self.number);
            let Some(registration) = state.numbered(self.number) else { return };
            registration.armed = registration.armed.difference(ready);
            let waiters = registration.take_waiters(ready);
            for direction in [Interest::READ, Interest::WRITE] {
                if ready.contains(direction) {
                    let events = self.source.events_of(direction);
                    events.store(events.load(Acquire) + 1, Release);
                }
            }
            (waiters, another_stays)
        };
        executor::wake_with_turn(|| waiters.wake());
        if another_stays {
            self.source.leave_unused();
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.source.forget(self.number);
    }
}

impl State {
    /// Whether another loop of this process watches it and is to go on.
    fn another_stays(&self, number: u64) -> bool {
        self.registrations.iter().any(|registration| {
            registration.number != number && !registration.is_leaving && registration.is_of_this_process()
        })
    }

    fn numbered(&mut self, number: u64) -> Option<&mut Registration> {
        self.registrations.iter_mut().find(|registration| registration.number == number)
    }
}

impl Registration {
    fn waiter(&mut self, direction: Interest) -> &mut Option<Waker> {
        if direction == Interest::READ { &mut self.reader } else { &mut self.writer }
    }

    fn add(&mut self, direction: Interest, waker: &Waker) {
        match self.waiter(direction) {
            waiter @ None => *waiter = Some(waker.clone()),
            Some(waiter) if waiter.will_wake(waker) => {}
            Some(_) => self.add_other(direction, waker),
        }
    }

    #[cold]
    fn add_other(&mut self, direction: Interest, waker: &Waker) {
        if !self.others.iter().any(|other| other.0 == direction && other.1.will_wake(waker)) {
            self.others.push((direction, waker.clone()));
        }
    }

    fn remove(&mut self, direction: Interest, waker: &Waker) {
        self.waiter(direction).take_if(|waiter| waiter.will_wake(waker));
        self.others.retain(|other| other.0 != direction || !other.1.will_wake(waker));
    }

    /// In a forked child those of the parent are the parent's.
    fn is_of_this_process(&self) -> bool {
        self.generation == fork_mark::generation()
    }

    /// Whether nobody waits there. Who has given up counts as waiting until the next event.
    fn is_unused(&self) -> bool {
        self.reader.is_none() && self.writer.is_none() && self.others.is_empty() && self.is_of_this_process()
    }

    /// Its loop and its number, if that is to be asked to let go: another thread's once, for it may not turn for long.
    fn ask_to_go(&mut self) -> Option<(LoopHandle, u64)> {
        if self.is_leaving || self.id.is_none() || !self.is_unused() {
            return None;
        }
        self.is_leaving = !running::is_running(&self.event_loop);
        Some((self.event_loop.clone(), self.number))
    }

    /// Takes those who wait for one of these directions.
    #[inline]
    fn take_waiters(&mut self, directions: Interest) -> Taken {
        let mut taken = Taken::default();
        if directions.contains(Interest::READ) {
            taken.reader = self.reader.take();
        }
        if directions.contains(Interest::WRITE) {
            taken.writer = self.writer.take();
        }
        if !self.others.is_empty() {
            let their = self.others.extract_if(.., |other| directions.contains(other.0));
            taken.others = their.map(|(_, waker)| waker).collect();
        }
        taken
    }

    /// Has the loop end it, and drops `io` when it has.
    fn end(self, io: impl Send + 'static) {
        if !self.is_of_this_process() {
            return drop(io);
        }
        let Self { event_loop, id: Some(id), .. } = self else { return drop(io) };
        let is_here = running::is_running(&event_loop) || !event_loop.is_running();
        // A loop that is closed watches nothing any more.
        if event_loop.is_closed() || is_here && event_loop.unwatch_io(id).is_ok() {
            return drop(io);
        }
        let there = event_loop.clone();
        let callback = Callback::new(move |_| {
            let unwatched = there.unwatch_io(id);
            drop(io);
            unwatched.map(drop)
        });
        // If it is closed meanwhile it drops the callback, and `io` with it.
        let _ = event_loop.call_soon_threadsafe(callback);
    }
}

impl Taken {
    #[inline]
    fn wake(self) {
        let Self { reader, writer, others } = self;
        if let Some(reader) = reader {
            reader.wake();
        }
        if let Some(writer) = writer {
            writer.wake();
        }
        others.into_iter().for_each(Waker::wake);
    }
}
