//! Timers: a heap of deadlines, and a table of the callbacks.

use std::{cmp::Reverse, collections::BinaryHeap};

use loophost_plugin_api::Callback;

use crate::{
    id::{Id, Kind, Slot},
    ready_queue::{Entry, ReadyQueue},
};

/// Cancelled timers stay in the heap until they are due, or until more than half of the heap and more than this
/// many are cancelled (asyncio has the same rule).
const CANCELLED_MIN: usize = 100;

#[derive(Default)]
pub(crate) struct Timers {
    /// By deadline, then in the order in which they were made.
    heap: BinaryHeap<Reverse<Deadline>>,
    timers: Vec<Timer>,
    free: Vec<u32>,
    made: u64,
    cancelled: usize,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Deadline {
    when_ns: u64,
    made: u64,
    index: u32,
}

struct Timer {
    slot: Slot,
    phase: Phase,
}

enum Phase {
    Free,
    Waiting(Callback),
    /// Moved to the ready queue, to this position.
    Due(u64),
    /// Still in the heap.
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
        self.heap.push(Reverse(Deadline { when_ns, made: self.made, index }));
        self.made += 1;
        Id::with_slot(Kind::Timer, timer.slot)
    }

    /// The first deadline of a timer that was not cancelled and is not for the end of time.
    pub(crate) fn next_deadline(&mut self) -> Option<u64> {
        while let Some(Reverse(first)) = self.heap.peek() {
            if !matches!(self.timers[first.index as usize].phase, Phase::Cancelled) {
                return Some(first.when_ns).filter(|when_ns| *when_ns != u64::MAX);
            }
            let index = first.index;
            self.heap.pop();
            self.cancelled -= 1;
            self.release(index);
        }
        None
    }

    /// Moves the timers that are due at `now` to the ready queue.
    pub(crate) fn collect_due(&mut self, now: u64, ready: &mut ReadyQueue) {
        while self.next_deadline().is_some_and(|when| when <= now) {
            let Some(Reverse(Deadline { index, .. })) = self.heap.pop() else { return };
            let timer = &mut self.timers[index as usize];
            if let Phase::Waiting(callback) = std::mem::replace(&mut timer.phase, Phase::Free) {
                let id = Id::with_slot(Kind::Timer, timer.slot);
                timer.phase = Phase::Due(ready.push(Entry { id, callback: Some(callback) }));
            }
        }
    }

    /// Gives the slot of a timer back whose entry was taken from the ready queue.
    pub(crate) fn ran(&mut self, slot: Slot) {
        if self.timers.get(slot.index as usize).is_some_and(|timer| timer.slot == slot) {
            self.release(slot.index);
        }
    }

    /// Cancels a timer; returns its callback to be dropped.
    pub(crate) fn cancel(&mut self, id: Id, ready: &mut ReadyQueue) -> Option<Callback> {
        let index = id.slot().index;
        let timer = self.timers.get_mut(index as usize).filter(|timer| timer.slot == id.slot())?;
        match std::mem::replace(&mut timer.phase, Phase::Cancelled) {
            Phase::Waiting(callback) => {
                self.cancelled += 1;
                self.purge();
                Some(callback)
            }
            Phase::Due(position) => {
                self.release(index);
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
        let timers = std::mem::take(self).timers;
        timers
            .into_iter()
            .filter_map(|timer| match timer.phase {
                Phase::Waiting(callback) => Some(callback),
                _ => None,
            })
            .collect()
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
        if self.cancelled <= CANCELLED_MIN || self.cancelled * 2 <= self.heap.len() {
            return;
        }
        let mut deadlines = std::mem::take(&mut self.heap).into_vec();
        deadlines.retain(|Reverse(deadline)| {
            let cancelled = matches!(self.timers[deadline.index as usize].phase, Phase::Cancelled);
            if cancelled {
                self.release(deadline.index);
            }
            !cancelled
        });
        self.heap = deadlines.into();
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
        let order: Vec<_> = std::iter::from_fn(|| ready.pop()).map(|entry| entry.id).collect();
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
        assert!(timers.heap.len() <= 2 * CANCELLED_MIN, "{}", timers.heap.len());
        assert!(timers.timers.len() <= 2 * CANCELLED_MIN);
    }
}
