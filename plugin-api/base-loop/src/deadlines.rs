//! The deadlines of timers, the earliest first.

use std::{cmp::Reverse, collections::BinaryHeap, mem};

/// A heap of so many stays in the nearest cache.
const NEAR: usize = 512;

/// When the timer at a place of the table is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline {
    pub(crate) when_ns: u64,
    /// How many were made before it: those of the same time keep their order.
    made: u64,
    pub(crate) index: u32,
}

/// A queue of deadlines: a small heap of the nearest, and piles of the later ones in no order.
///
/// Taking one out of a heap of a million misses the cache at each of its twenty levels. Here a pile is halved until a
/// part of it is small enough to become the heap, and that only when its time has come, which of most timeouts it never
/// does: they are cancelled.
#[derive(Default)]
pub(crate) struct Deadlines {
    near: BinaryHeap<Reverse<Deadline>>,
    /// The latest first.
    piles: Vec<Pile>,
    len: usize,
    made: u64,
}

struct Pile {
    /// None of its deadlines is before this one, and all nearer ones are.
    from: Deadline,
    deadlines: Vec<Deadline>,
}

impl Deadlines {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push(&mut self, when_ns: u64, index: u32) {
        let deadline = Deadline { when_ns, made: self.made, index };
        self.made += 1;
        self.len += 1;
        let later = self.piles.partition_point(|pile| pile.from > deadline);
        if let Some(pile) = self.piles.get_mut(later) {
            pile.deadlines.push(deadline);
            return;
        }
        self.near.push(Reverse(deadline));
        if self.near.len() > 2 * NEAR {
            let near = mem::take(&mut self.near);
            self.fill_near(near.into_iter().map(|Reverse(deadline)| deadline).collect());
        }
    }

    /// The earliest.
    pub(crate) fn first(&mut self) -> Option<Deadline> {
        while self.near.is_empty() {
            let pile = self.piles.pop()?;
            self.fill_near(pile.deadlines);
        }
        self.near.peek().map(|Reverse(deadline)| *deadline)
    }

    /// Takes the earliest away, if it is due.
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<Deadline> {
        if self.first()?.when_ns <= now { self.pop() } else { None }
    }

    /// Takes the earliest away.
    pub(crate) fn pop(&mut self) -> Option<Deadline> {
        self.first()?;
        let Reverse(deadline) = self.near.pop()?;
        self.len -= 1;
        Some(deadline)
    }

    /// Drops those that are not to be kept.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&Deadline) -> bool) {
        self.near.retain(|Reverse(deadline)| keep(deadline));
        self.len = self.near.len();
        for pile in &mut self.piles {
            pile.deadlines.retain(&mut keep);
            self.len += pile.deadlines.len();
        }
        self.piles.retain(|pile| !pile.deadlines.is_empty());
    }

    /// Makes the earliest of these, which are all earlier than the piles, the heap, and piles of the others.
    fn fill_near(&mut self, mut deadlines: Vec<Deadline>) {
        while deadlines.len() > NEAR {
            let middle = deadlines.len() / 2;
            let from = *deadlines.select_nth_unstable(middle).1;
            self.piles.push(Pile { from, deadlines: deadlines.split_off(middle) });
        }
        // What a pile had been allocated for a million is not the heap's.
        deadlines.shrink_to(2 * NEAR);
        self.near = deadlines.into_iter().map(Reverse).collect();
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, iter};

    use super::*;

    /// Beside the simplest thing that can be right.
    #[test]
    fn deadlines_come_in_order_whatever_is_added_in_between() {
        let (mut deadlines, mut simple) = (Deadlines::default(), BTreeSet::new());
        let mut random = 1u64;
        for n in 0..20_000u32 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let when_ns = random >> 54;
            deadlines.push(when_ns, n);
            simple.insert((when_ns, n));
            if random >> 40 & 1 == 0 {
                let first = deadlines.first();
                assert_eq!(first, deadlines.pop());
                assert_eq!(first.map(|first| (first.when_ns, first.index)), simple.pop_first());
            }
            if n % 5_000 == 4_999 {
                deadlines.retain(|deadline| deadline.index % 3 > 0);
                simple.retain(|(_, index)| index % 3 > 0);
            }
            assert_eq!(deadlines.len(), simple.len());
        }
        let left = iter::from_fn(|| deadlines.pop()).map(|deadline| (deadline.when_ns, deadline.index));
        assert!(left.eq(simple));
    }
}
