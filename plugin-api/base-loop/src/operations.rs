//! The operations that have no final event yet.

use std::{
    collections::{BTreeSet, VecDeque},
    mem,
};

use loophost_plugin_api::{Event, EventKind, RepeatCallback};

use crate::{
    id::{Id, Kind, Slot},
    proactor::Completion,
    ready_queue::{Entry, ReadyQueue},
    selector::Key,
};

#[derive(Default)]
pub(crate) struct Operations {
    places: Vec<PlaceInTable>,
    free: Vec<u32>,
    /// One for each entry of the ready queue that is an operation's, in the same order.
    completed: VecDeque<Completion>,
    /// Those that wait for the clock, by the time that they wait for.
    deadlines: BTreeSet<(u64, u32)>,
}

struct PlaceInTable {
    slot: Slot,
    operation: Option<UnderWay>,
}

struct UnderWay {
    /// Away while it runs.
    callback: Option<RepeatCallback>,
    carried_out_by: Whom,
    /// Its final completion is in the ready queue.
    has_ended: bool,
}

/// Who carries an operation out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    /// The backend.
    Backend,
    /// Nobody: it is due in the next turn.
    Nobody,
    /// The loop's clock, at this time.
    Clock(u64),
}

/// What becomes of the wish to cancel an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// There is none, or it has ended.
    No,
    /// It was the loop's own, and is.
    Yes,
    /// The backend must be asked.
    Backend(Key),
}

impl Operations {
    pub(crate) fn insert(
        &mut self,
        callback: RepeatCallback,
        carried_out_by: Whom,
        ready: &mut ReadyQueue,
    ) -> (Id, Key) {
        let index = self.free.pop().unwrap_or_else(|| {
            let index = u32::try_from(self.places.len()).expect("fewer than 2^32 operations fit into memory");
            self.places.push(PlaceInTable { slot: Slot { index, generation: 0 }, operation: None });
            index
        });
        let place = &mut self.places[index as usize];
        place.operation = Some(UnderWay { callback: Some(callback), carried_out_by, has_ended: false });
        let key = Key(place.slot.bits());
        let id = Id::with_slot(Kind::Operation, place.slot);
        match carried_out_by {
            Whom::Backend => {}
            Whom::Nobody => self.complete(Completion::last(key, 0), ready),
            Whom::Clock(when_ns) => drop(self.deadlines.insert((when_ns, index))),
        }
        (id, key)
    }

    /// Takes back one that the backend has refused.
    pub(crate) fn remove(&mut self, key: Key) -> Option<RepeatCallback> {
        let slot = Slot::from_bits(key.0);
        let callback = self.at(slot)?.callback.take();
        self.release(slot);
        callback
    }

    /// Queues the event of a completion.
    pub(crate) fn complete(&mut self, completion: Completion, ready: &mut ReadyQueue) {
        let slot = Slot::from_bits(completion.key.0);
        let Some(operation) = self.at(slot) else { return };
        if operation.has_ended {
            return;
        }
        operation.has_ended = !completion.more;
        self.completed.push_back(completion);
        ready.push(Entry::event(Id::with_slot(Kind::Operation, slot)));
    }

    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.deadlines.first().map(|(when_ns, _)| *when_ns)
    }

    /// Queues the events of those whose time has come.
    pub(crate) fn collect_due(&mut self, now: u64, ready: &mut ReadyQueue) {
        while self.next_deadline().is_some_and(|when_ns| when_ns <= now) {
            let Some((_, index)) = self.deadlines.pop_first() else { return };
            let key = Key(self.places[index as usize].slot.bits());
            self.complete(Completion::last(key, 0), ready);
        }
    }

    pub(crate) fn cancel(&mut self, id: Id, ready: &mut ReadyQueue) -> Cancelled {
        let slot = id.slot();
        let Some(operation) = self.at(slot).filter(|operation| !operation.has_ended) else {
            return Cancelled::No;
        };
        let key = Key(slot.bits());
        match operation.carried_out_by {
            Whom::Backend => Cancelled::Backend(key),
            Whom::Nobody => Cancelled::No,
            Whom::Clock(when_ns) => {
                self.deadlines.remove(&(when_ns, slot.index));
                self.complete(Completion::cancelled(key), ready);
                Cancelled::Yes
            }
        }
    }

    /// Takes out the callback of an entry to be called, with what it is told.
    pub(crate) fn take(&mut self, id: Id) -> Option<(RepeatCallback, Completion)> {
        let completion = self.completed.pop_front()?;
        let callback = self.at(id.slot())?.callback.take();
        if !completion.more {
            self.release(id.slot());
        }
        Some((callback?, completion))
    }

    /// Brings back a callback that was called for an event that was not the last.
    pub(crate) fn put_back(&mut self, id: Id, callback: RepeatCallback) -> Option<RepeatCallback> {
        match self.at(id.slot()) {
            Some(operation) => operation.callback.replace(callback),
            None => Some(callback),
        }
    }

    /// How many have not been told their final event.
    pub(crate) fn len(&self) -> usize {
        self.places.iter().filter(|place| place.operation.is_some()).count()
    }

    /// What the backend still carries out.
    pub(crate) fn in_backend(&self) -> Vec<Key> {
        let is_in_backend =
            |operation: &UnderWay| operation.carried_out_by == Whom::Backend && !operation.has_ended;
        let places = self.places.iter();
        places
            .filter(|place| place.operation.as_ref().is_some_and(is_in_backend))
            .map(|place| Key(place.slot.bits()))
            .collect()
    }

    /// Of a closed loop: takes the backend's last completions, and cancels what waits for the clock.
    pub(crate) fn end(&mut self, completions: Vec<Completion>) {
        let mut ready = ReadyQueue::default();
        for completion in completions {
            self.complete(completion, &mut ready);
        }
        for (_, index) in mem::take(&mut self.deadlines) {
            let key = Key(self.places[index as usize].slot.bits());
            self.complete(Completion::cancelled(key), &mut ready);
        }
    }

    /// Of a closed loop: the next event, as [`take`](Self::take) has it.
    pub(crate) fn take_next(&mut self) -> Option<(Id, RepeatCallback, Completion)> {
        while let Some(completion) = self.completed.front() {
            let id = Id::with_slot(Kind::Operation, Slot::from_bits(completion.key.0));
            if let Some((callback, completion)) = self.take(id) {
                return Some((id, callback, completion));
            }
        }
        None
    }

    /// Of a closed loop: the callbacks whose memory the system may still be using.
    pub(crate) fn into_callbacks(self) -> Vec<RepeatCallback> {
        self.places.into_iter().filter_map(|place| place.operation?.callback).collect()
    }

    fn at(&mut self, slot: Slot) -> Option<&mut UnderWay> {
        let place = self.places.get_mut(slot.index as usize).filter(|place| place.slot == slot)?;
        place.operation.as_mut()
    }

    fn release(&mut self, slot: Slot) {
        let place = &mut self.places[slot.index as usize];
        place.operation = None;
        if let Some(slot) = place.slot.next() {
            place.slot = slot;
            self.free.push(slot.index);
        }
    }
}

impl Completion {
    /// What the callback is told.
    pub(crate) fn event(&self) -> Event<'static> {
        let mut event = Event::with_result(EventKind::COMPLETION, self.result);
        event.aux = self.aux;
        event.flags = if self.more { Event::MORE } else { 0 };
        event
    }
}
