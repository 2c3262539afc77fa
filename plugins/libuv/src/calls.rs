//! What is to be called: the ready queue, and timers until they are due.

use std::collections::{BTreeMap, VecDeque};

use loophost_plugin_api::{Callback, Fd};

use crate::{
    id::Id,
    signals::Arrived,
    table::{Key, Table},
    watches::Direction,
};

/// An entry of the ready queue. What was cancelled or removed meanwhile is found missing when its turn comes.
pub(crate) enum Due {
    /// A callback of `call_soon`.
    Soon(Key),
    /// A callback of `call_at`.
    Timer(Key),
    /// A callback of `call_soon_threadsafe`, with its number; `None` when it was cancelled.
    Posted(u64, Option<Callback>),
    /// A reader or writer of the watch with this number.
    Ready(Fd, u64, Direction),
    /// A stream of the watch with this number.
    Stream(Fd, u64),
    /// A signal.
    Signal(Arrived),
}

/// By deadline, then in the order in which they were made.
type Deadline = (u64, u64);

struct Call {
    callback: Callback,
    deadline: Option<Deadline>,
}

#[derive(Default)]
pub(crate) struct Calls {
    pub(crate) ready: VecDeque<Due>,
    table: Table<Call>,
    timers: BTreeMap<Deadline, Key>,
    made: u64,
}

impl Calls {
    #[inline]
    pub(crate) fn soon(&mut self, callback: Callback) -> Id {
        let key = self.table.insert(Call { callback, deadline: None });
        self.ready.push_back(Due::Soon(key));
        Id::Call(key)
    }

    pub(crate) fn at(&mut self, when_ns: u64, callback: Callback) -> Id {
        let deadline = (when_ns, self.made);
        self.made += 1;
        let key = self.table.insert(Call { callback, deadline: Some(deadline) });
        self.timers.insert(deadline, key);
        Id::Call(key)
    }

    /// The first deadline of a timer.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.timers.first_key_value().map(|((when, _), _)| *when).filter(|when| *when != u64::MAX)
    }

    /// Queues the timers that are due.
    pub(crate) fn collect_due(&mut self, now: u64) {
        while let Some(first) = self.timers.first_entry().filter(|first| first.key().0 <= now) {
            let key = first.remove();
            if let Some(call) = self.table.get_mut(key) {
                call.deadline = None;
            }
            self.ready.push_back(Due::Timer(key));
        }
    }

    /// Takes out a callback to be called; `None` if it was cancelled.
    #[inline]
    pub(crate) fn take(&mut self, key: Key) -> Option<Callback> {
        self.table.remove(key).map(|call| call.callback)
    }

    /// Cancels a callback of `call_soon` or `call_at`; returns it to be dropped.
    pub(crate) fn cancel(&mut self, key: Key) -> Option<Callback> {
        let call = self.table.remove(key)?;
        if let Some(deadline) = call.deadline {
            self.timers.remove(&deadline);
        }
        Some(call.callback)
    }

    /// Cancels a callback of another thread that has been queued; returns it to be dropped.
    pub(crate) fn cancel_posted(&mut self, number: u64) -> Option<Callback> {
        cancel_posted(&mut self.ready, number)
    }

    /// How many timers there are.
    pub(crate) fn timers(&self) -> usize {
        self.timers.len()
    }
}

/// Who cancels a callback that was given through another thread is rare enough for a search.
pub(crate) fn cancel_posted(queue: &mut VecDeque<Due>, number: u64) -> Option<Callback> {
    queue.iter_mut().find_map(|due| match due {
        Due::Posted(found, callback) if *found == number => callback.take(),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> Callback {
        Callback::new(|_| Ok(()))
    }

    #[test]
    fn due_timers_come_in_the_order_of_their_deadlines() {
        let mut calls = Calls::default();
        let made = [30, 10, 10, 40].map(|when| calls.at(when, nothing()));
        calls.collect_due(9);
        assert!(calls.ready.is_empty() && calls.next_deadline() == Some(10));
        calls.collect_due(30);
        let due: Vec<_> = calls
            .ready
            .drain(..)
            .map(|due| match due {
                Due::Timer(key) => Id::Call(key),
                _ => panic!("only timers were made"),
            })
            .collect();
        assert_eq!(due, [made[1], made[2], made[0]]);
        assert_eq!((calls.timers(), calls.next_deadline()), (1, Some(40)));
    }

    #[test]
    fn a_timer_is_cancelled_before_and_after_it_is_due() {
        let mut calls = Calls::default();
        let (Id::Call(waiting), Id::Call(due)) = (calls.at(20, nothing()), calls.at(10, nothing())) else {
            panic!("timers are calls");
        };
        calls.collect_due(10);
        for key in [waiting, due] {
            assert!(calls.cancel(key).is_some() && calls.cancel(key).is_none());
        }
        assert_eq!((calls.timers(), calls.ready.len()), (0, 1));
        assert!(calls.take(due).is_none(), "what is left in the queue names nothing");
    }
}
