//! The callbacks that are due, in the order in which they became due.

use std::collections::VecDeque;

use loophost_plugin_api::Callback;

use crate::id::{Id, Kind};

/// One thing to do. Readers, writers, streams and signals have no callback here: theirs stays in its table.
pub(crate) struct Entry {
    pub(crate) id: Id,
    pub(crate) callback: Option<Callback>,
}

impl Entry {
    pub(crate) fn event(id: Id) -> Self {
        Self { id, callback: None }
    }
}

/// A queue whose entries can be found again by their position since the loop was made.
#[derive(Default)]
pub(crate) struct ReadyQueue {
    entries: VecDeque<Entry>,
    /// The position of the first entry.
    first: u64,
}

impl ReadyQueue {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds a callback of `call_soon`.
    #[inline]
    pub(crate) fn push_soon(&mut self, callback: Callback) -> Id {
        let id = Id::new(Kind::Soon, self.next_position());
        self.entries.push_back(Entry { id, callback: Some(callback) });
        id
    }

    /// Adds anything else; returns its position.
    #[inline]
    pub(crate) fn push(&mut self, entry: Entry) -> u64 {
        let position = self.next_position();
        self.entries.push_back(entry);
        position
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        self.first += 1;
        Some(entry)
    }

    /// Cancels what is at a position, if it is still `id`; returns its callback to be dropped.
    pub(crate) fn cancel_at(&mut self, position: u64, id: Id) -> Option<Callback> {
        let index = usize::try_from(position.checked_sub(self.first)?).ok()?;
        let entry = self.entries.get_mut(index).filter(|entry| entry.id == id)?;
        entry.id = Id::CANCELLED;
        entry.callback.take()
    }

    /// Cancels an entry whose position is not known: who cancels a thread-safe callback is rare enough for a search.
    pub(crate) fn cancel_inbox(&mut self, id: Id) -> Option<Callback> {
        let entry = self.entries.iter_mut().find(|entry| entry.id == id)?;
        entry.id = Id::CANCELLED;
        entry.callback.take()
    }

    fn next_position(&self) -> u64 {
        self.first + self.entries.len() as u64
    }
}
