//! The half of a loop that every thread may touch: callbacks for the loop, and waking it.

use std::{
    collections::VecDeque,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool,
            Ordering::{Relaxed, SeqCst},
        },
    },
};

use loophost_plugin_api::{Callback, Error};

use crate::{
    calls::{Due, cancel_posted},
    id::Id,
    sys::Waker,
};

pub(crate) struct Inbox {
    queue: Mutex<Queue>,
    /// Whether the queue has entries, written under its lock: the loop looks here first.
    has_entries: AtomicBool,
    stop: AtomicBool,
    closed: AtomicBool,
    waker: Arc<Waker>,
}

#[derive(Default)]
struct Queue {
    entries: VecDeque<Due>,
    posted: u64,
    closed: bool,
}

impl Inbox {
    pub(crate) fn new(waker: Arc<Waker>) -> Self {
        Self {
            queue: Mutex::default(),
            has_entries: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            waker,
        }
    }

    /// Adds a callback.
    pub(crate) fn post(&self, callback: Callback) -> Result<Id, Error> {
        let mut queue = self.lock();
        if queue.closed {
            // The callback is dropped, which may do anything: not under the lock.
            drop(queue);
            return Err(Error::loop_closed());
        }
        queue.posted += 1;
        let number = queue.posted;
        self.add(queue, Due::Posted(number, Some(callback)));
        Ok(Id::Posted(number))
    }

    /// Adds something without a callback of its own; a closed loop has no use for it.
    pub(crate) fn push(&self, due: Due) {
        let queue = self.lock();
        if !queue.closed {
            self.add(queue, due);
        }
    }

    fn add(&self, mut queue: MutexGuard<'_, Queue>, due: Due) {
        let was_empty = queue.entries.is_empty();
        queue.entries.push_back(due);
        if was_empty {
            self.has_entries.store(true, SeqCst);
            drop(queue);
            // Once is enough until the loop has taken the entries: it looks here before each wait and after it.
            self.waker.wake();
        }
    }

    pub(crate) fn request_stop(&self) {
        self.stop.store(true, SeqCst);
        self.waker.wake();
    }

    /// Whether a stop was asked for; the question ends it.
    pub(crate) fn take_stop(&self) -> bool {
        self.stop.load(Relaxed) && self.stop.swap(false, SeqCst)
    }

    /// Whether the loop has something to do already.
    pub(crate) fn has_work(&self) -> bool {
        self.stop.load(SeqCst) || self.has_entries.load(SeqCst)
    }

    /// Moves everything to the ready queue.
    #[inline]
    pub(crate) fn drain(&self, ready: &mut VecDeque<Due>) {
        if self.has_entries.load(Relaxed) {
            let mut queue = self.lock();
            self.has_entries.store(false, Relaxed);
            ready.append(&mut queue.entries);
        }
    }

    /// Cancels a callback that the loop has not taken yet; returns it to be dropped.
    pub(crate) fn cancel(&self, number: u64) -> Option<Callback> {
        cancel_posted(&mut self.lock().entries, number)
    }

    /// Refuses everything from now on; returns what is left, to be dropped.
    pub(crate) fn close(&self) -> VecDeque<Due> {
        let mut queue = self.lock();
        queue.closed = true;
        self.closed.store(true, SeqCst);
        self.has_entries.store(false, Relaxed);
        mem::take(&mut queue.entries)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(SeqCst)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing that can panic runs under the lock but an allocation; the queue is whole in any case.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
