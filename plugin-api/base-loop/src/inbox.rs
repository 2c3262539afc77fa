//! The half of a loop that every thread may touch: callbacks for the loop, and waking it.

use std::{
    collections::VecDeque,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicU8, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
};

use loophost_plugin_api::{Callback, Error, HandleId};

use crate::{
    id::{Id, Kind},
    ready_queue::{Entry, ReadyQueue},
    selector::Wake,
};

/// The loop runs callbacks, or nothing: it will look into the inbox before it waits.
const AWAKE: u8 = 0;
/// The loop waits, or has decided to.
const WAITING: u8 = 1;
/// The loop waited and somebody has woken it: one write for however many callbacks come before it looks.
const WOKEN: u8 = 2;

pub(crate) struct Inbox {
    queue: Mutex<Queue>,
    /// Whether the queue has entries, written under its lock: the loop looks here first.
    has_entries: AtomicBool,
    phase: AtomicU8,
    stop: AtomicBool,
    closed: AtomicBool,
    wakeups: AtomicU64,
    waker: Arc<dyn Wake>,
}

#[derive(Default)]
struct Queue {
    entries: VecDeque<Entry>,
    /// The position of the first entry since the loop was made.
    first: u64,
    closed: bool,
}

impl Inbox {
    pub(crate) fn new(waker: Arc<dyn Wake>) -> Self {
        Self {
            queue: Mutex::default(),
            has_entries: AtomicBool::new(false),
            phase: AtomicU8::new(AWAKE),
            stop: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            wakeups: AtomicU64::new(0),
            waker,
        }
    }

    /// Adds a callback, from any thread.
    pub(crate) fn push(&self, callback: Callback) -> Result<HandleId, Error> {
        let queue = self.lock();
        if queue.closed {
            // Drops the callback, which may do anything: not under the lock.
            drop(queue);
            return Err(Error::loop_closed());
        }
        let id = Id::new(Kind::Inbox, queue.first + queue.entries.len() as u64);
        self.add(queue, Entry { id, callback: Some(callback) });
        Ok(id.into())
    }

    /// Adds an event without a callback of its own, from any thread; a closed loop has no use for it.
    pub(crate) fn push_event(&self, entry: Entry) {
        let queue = self.lock();
        if !queue.closed {
            self.add(queue, entry);
        }
    }

    fn add(&self, mut queue: MutexGuard<'_, Queue>, entry: Entry) {
        if queue.entries.is_empty() {
            self.has_entries.store(true, SeqCst);
        }
        queue.entries.push_back(entry);
        drop(queue);
        self.wake();
    }

    /// Makes the loop look at the inbox and the stop flag.
    fn wake(&self) {
        // What was pushed before this is seen by the loop: in the one order of all SeqCst operations, either it reads
        // `has_entries` (or `stop`) after that was set, or it had stored WAITING before, and this sees it.
        if self.phase.compare_exchange(WAITING, WOKEN, SeqCst, SeqCst).is_err() {
            return;
        }
        self.wakeups.fetch_add(1, Relaxed);
        if let Err(error) = self.waker.wake() {
            tracing::error!("waking the event loop: {error}");
        }
    }

    pub(crate) fn wakeups(&self) -> u64 {
        self.wakeups.load(Relaxed)
    }

    pub(crate) fn request_stop(&self) {
        self.stop.store(true, SeqCst);
        self.wake();
    }

    /// Whether a stop was asked for; the question ends it.
    pub(crate) fn take_stop(&self) -> bool {
        self.stop.load(Relaxed) && self.stop.swap(false, SeqCst)
    }

    /// Called by the loop before it waits: true if it may, false if there is something to do already.
    pub(crate) fn begin_wait(&self) -> bool {
        self.phase.store(WAITING, SeqCst);
        !self.stop.load(SeqCst) && !self.has_entries.load(SeqCst)
    }

    /// Called by the loop after it has waited.
    pub(crate) fn end_wait(&self) {
        self.phase.store(AWAKE, SeqCst);
    }

    /// Whether there is something to [`drain`](Self::drain): all that was pushed before, in this thread or in one
    /// that has told this one of it.
    #[inline]
    pub(crate) fn has_entries(&self) -> bool {
        self.has_entries.load(Relaxed)
    }

    /// Moves everything to the ready queue.
    #[cold]
    pub(crate) fn drain(&self, spare: &mut VecDeque<Entry>, ready: &mut ReadyQueue) {
        {
            let mut queue = self.lock();
            self.has_entries.store(false, Relaxed);
            queue.first += queue.entries.len() as u64;
            mem::swap(&mut queue.entries, spare);
        }
        for entry in spare.drain(..) {
            ready.push(entry);
        }
    }

    /// Cancels a callback that the loop has not taken yet.
    pub(crate) fn cancel(&self, id: Id) -> Option<Callback> {
        let mut queue = self.lock();
        let index = usize::try_from(id.number().checked_sub(queue.first)?).ok()?;
        let entry = queue.entries.get_mut(index).filter(|entry| entry.id == id)?;
        entry.id = Id::CANCELLED;
        entry.callback.take()
    }

    /// Refuses everything from now on; returns what is left, to be dropped.
    pub(crate) fn close(&self) -> VecDeque<Entry> {
        let mut queue = self.lock();
        queue.closed = true;
        self.closed.store(true, SeqCst);
        self.has_entries.store(false, Relaxed);
        mem::take(&mut queue.entries)
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(SeqCst)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing that can panic runs under the lock but an allocation; the queue is whole in any case.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
