//! Timers: a queue of deadlines, and a table of the callbacks.

use std::{iter, mem};

use loophost_plugin_api::Callback;

use crate::{
    deadlines::Deadlines,
    id::{Id, Kind, Slot},
    ready_queue::{Entry, ReadyQueue},
};

/// Cancelled timers stay in the queue until they are due, or until more than half of it and more than this many are
/// cancelled (asyncio has the same rule for its heap).
const CANCELLED_MIN: usize = 100;

#[derive(Default)]
pub(crate) struct Timers {
    deadlines: Deadlines,
    timers: Vec<Timer>,
    free: Vec<u32>,
    /// The places of those that were due at the last collection.
    due: Vec<u32>,
    cancelled: usize,
}

struct Timer {
    slot: Slot,
    phase: Phase,
}

enum Phase {
    Free,
    Waiting(Callback),
    /// Moved to the ready queue, to this position; perhaps it has run since.
    Due(u64),
    /// Its deadline is still in the queue.
    Cancelled,
}

impl Timers {
    pub(crate) fn add(&mut self, when_ns: u64, callback: Callback) -> Id {
        let index = self.free.pop().unwrap_or_else(|| {
            let index = u32::try_from(self.timers.len()).expect("fewer than 2^32 timers fit into memory");
            self.timers.push(Timer { slot: Slot { index, generation: 0 }, phase: Phase::Free });
            index
        });
        let timer = &mut self.timers[index as usize];
        timer.phase = Phase::Waiting(callback);
        self.deadlines.push(when_ns, index);
        Id::with_slot(Kind::Timer, timer.slot)
    }

    /// The first deadline of a timer that was not cancelled and is not for the end of time.
    pub(crate) fn next_deadline(&mut self) -> Option<u64> {
        while let Some(first) = self.deadlines.first() {
            if !matches!(self.timers[first.index as usize].phase, Phase::Cancelled) {
                return Some(first.when_ns).filter(|when_ns| *when_ns != u64::MAX);
            }
            self.deadlines.pop();
            self.cancelled -= 1;
            self.release(first.index);
        }
        None
    }

    /// Moves the timers that are due at `now` to the ready queue, which has none of an earlier collection any more.
    pub(crate) fn collect_due(&mut self, now: u64, ready: &mut ReadyQueue) {
        self.release_due();
        self.due.extend(iter::from_fn(|| self.deadlines.pop_due(now)).map(|deadline| deadline.index));
        // In a loop of its own, so short that several of its cache misses are under way at a time.
        for index in &self.due {
            let timer = &mut self.timers[*index as usize];
            match mem::replace(&mut timer.phase, Phase::Free) {
                Phase::Waiting(callback) => {
                    let id = Id::with_slot(Kind::Timer, timer.slot);
                    timer.phase = Phase::Due(ready.push(Entry { id, callback: Some(callback) }));
                }
                Phase::Cancelled => self.cancelled -= 1,
                Phase::Free | Phase::Due(_) => {}
            }
        }
    }

    /// Cancels a timer; returns its callback to be dropped.
    pub(crate) fn cancel(&mut self, id: Id, ready: &mut ReadyQueue) -> Option<Callback> {
        let index = id.slot().index;
        let timer = self.timers.get_mut(index as usize).filter(|timer| timer.slot == id.slot())?;
        match mem::replace(&mut timer.phase, Phase::Cancelled) {
            Phase::Waiting(callback) => {
                self.cancelled += 1;
                self.purge();
                Some(callback)
            }
            phase @ Phase::Due(position) => {
                timer.phase = phase;
                ready.cancel_at(position, id)
            }
            phase @ (Phase::Free | Phase::Cancelled) => {
                timer.phase = phase;
                None
            }
        }
    }

    /// All callbacks that are left, to be dropped.
    pub(crate) fn clear(&mut self) -> Vec<Callback> {
        let timers = mem::take(self).timers;
        timers
            .into_iter()
            .filter_map(|timer| match timer.phase {
                Phase::Waiting(callback) => Some(callback),
                _ => None,
            })
            .collect()
    }

    /// Gives the places of those back that have run: all at once, for the same reason.
    fn release_due(&mut self) {
        let mut due = mem::take(&mut self.due);
        due.drain(..).for_each(|index| self.release(index));
        self.due = due;
    }

    fn release(&mut self, index: u32) {
        let timer = &mut self.timers[index as usize];
        timer.phase = Phase::Free;
        if let Some(slot) = timer.slot.next() {
            timer.slot = slot;
            self.free.push(index);
        }
    }

    fn purge(&mut self) {
        if self.cancelled <= CANCELLED_MIN || self.cancelled * 2 <= self.deadlines.len() {
            return;
        }
        let mut deadlines = mem::take(&mut self.deadlines);
        deadlines.retain(|deadline| {
            let cancelled = matches!(self.timers[deadline.index as usize].phase, Phase::Cancelled);
            if cancelled {
                self.release(deadline.index);
            }
            !cancelled
        });
        self.deadlines = deadlines;
        self.cancelled = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> Callback {
        Callback::new(|_| Ok(()))
    }

    #[test]
    fn due_timers_come_in_the_order_of_their_deadlines() {
        let (mut timers, mut ready) = (Timers::default(), ReadyQueue::default());
        let late = timers.add(30, nothing());
        let first = timers.add(10, nothing());
        let second = timers.add(10, nothing());
        timers.collect_due(9, &mut ready);
        assert!(ready.is_empty());
        timers.collect_due(30, &mut ready);
        let order: Vec<_> = iter::from_fn(|| ready.pop()).map(|entry| entry.id).collect();
        assert_eq!(order, [first, second, late]);
    }

    #[test]
    fn a_stale_id_cancels_nothing() {
        let (mut timers, mut ready) = (Timers::default(), ReadyQueue::default());
        let id = timers.add(10, nothing());
        assert!(timers.cancel(id, &mut ready).is_some());
        assert!(timers.cancel(id, &mut ready).is_none());
        assert_eq!(timers.next_deadline(), None);
        let other = timers.add(20, nothing());
        assert_eq!(other.slot().index, id.slot().index, "the slot is used again");
        assert!(timers.cancel(id, &mut ready).is_none());
        assert_eq!(timers.next_deadline(), Some(20));
    }

    #[test]
    fn a_place_is_given_up_before_an_id_would_come_again() {
        let mut timers = Timers::default();
        let id = timers.add(10, nothing());
        timers.timers[0].slot = Slot { generation: (1 << 29) - 1, ..id.slot() };
        timers.release(0);
        assert_ne!(timers.add(10, nothing()).slot().index, id.slot().index);
    }

    #[test]
    fn a_due_timer_can_be_cancelled_until_it_runs() {
        let (mut timers, mut ready) = (Timers::default(), ReadyQueue::default());
        let id = timers.add(1, nothing());
        timers.collect_due(1, &mut ready);
        assert!(timers.cancel(id, &mut ready).is_some());
        assert_eq!(ready.pop().map(|entry| entry.id), Some(Id::CANCELLED));
    }

    #[test]
    fn cancelled_timers_do_not_pile_up() {
        let (mut timers, mut ready) = (Timers::default(), ReadyQueue::default());
        for _ in 0..10_000 {
            let id = timers.add(u64::MAX, nothing());
            timers.cancel(id, &mut ready);
        }
        assert!(timers.deadlines.len() <= 2 * CANCELLED_MIN, "{}", timers.deadlines.len());
        assert!(timers.timers.len() <= 2 * CANCELLED_MIN);
    }
}
