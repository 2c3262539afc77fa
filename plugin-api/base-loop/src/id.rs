//! What is behind a `HandleId` and an entry of the ready queue: four bits of kind, 60 bits that the kind defines.

use loophost_plugin_api::HandleId;

const KIND_SHIFT: u32 = 60;
const SLOT_BITS: u32 = 32;
const GENERATION_MASK: u64 = (1 << (KIND_SHIFT - SLOT_BITS)) - 1;

/// A kind and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id(u64);

/// What an [`Id`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing any more: a ready entry that was cancelled.
    Cancelled,
    /// A callback of `call_soon`; the number is its position in the ready queue since the loop was made.
    Soon,
    /// A callback of `call_soon_threadsafe`; the number is its position in the inbox.
    Inbox,
    /// A timer: a slot.
    Timer,
    /// A reader: a slot.
    Reader,
    /// A writer: a slot.
    Writer,
    /// A stream: a slot.
    Stream,
    /// A signal: flags, sender and number.
    Signal,
    /// An operation: a slot.
    Operation,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Cancelled,
        Self::Soon,
        Self::Inbox,
        Self::Timer,
        Self::Reader,
        Self::Writer,
        Self::Stream,
        Self::Signal,
        Self::Operation,
    ];
}

/// A place in a table, and how often it was given away before; stale slots name nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl Slot {
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self { index: bits as u32, generation: (bits >> SLOT_BITS & GENERATION_MASK) as u32 }
    }

    pub(crate) fn bits(self) -> u64 {
        u64::from(self.generation) << SLOT_BITS | u64::from(self.index)
    }

    /// The same place, to be given to somebody else; `None` when all its generations were given, for an id is never
    /// given twice: then the place stays empty.
    pub(crate) fn next(self) -> Option<Self> {
        let generation = self.generation + 1;
        (u64::from(generation) <= GENERATION_MASK).then_some(Self { generation, ..self })
    }
}

impl Id {
    pub(crate) const CANCELLED: Self = Self(0);

    pub(crate) fn new(kind: Kind, number: u64) -> Self {
        debug_assert!(number >> KIND_SHIFT == 0);
        Self((kind as u64) << KIND_SHIFT | number)
    }

    pub(crate) fn with_slot(kind: Kind, slot: Slot) -> Self {
        Self::new(kind, slot.bits())
    }

    pub(crate) fn kind(self) -> Kind {
        // An id that is not ours names nothing.
        Kind::ALL.get((self.0 >> KIND_SHIFT) as usize).copied().unwrap_or(Kind::Cancelled)
    }

    pub(crate) fn number(self) -> u64 {
        self.0 & ((1 << KIND_SHIFT) - 1)
    }

    pub(crate) fn slot(self) -> Slot {
        Slot::from_bits(self.number())
    }
}

impl From<Id> for HandleId {
    fn from(id: Id) -> Self {
        HandleId(id.0)
    }
}

impl From<HandleId> for Id {
    fn from(id: HandleId) -> Self {
        Self(id.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_slots_survive_the_packing() {
        let slot = Slot { index: u32::MAX, generation: GENERATION_MASK as u32 };
        for (n, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, n);
            let id = Id::from(HandleId::from(Id::with_slot(kind, slot)));
            assert_eq!((id.kind(), id.slot()), (kind, slot));
        }
        assert_eq!(slot.next(), None, "an id is never given twice");
    }
}
