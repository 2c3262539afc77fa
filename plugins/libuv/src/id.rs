//! What is behind a `HandleId`: two bits of kind, 62 bits that the kind defines. None is ever 0.

use loophost_plugin_api::HandleId;

use crate::table::Key;

const KIND_SHIFT: u32 = 62;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Id {
    /// A callback of `call_soon` or `call_at`.
    Call(Key),
    /// A callback of `call_soon_threadsafe`, by its number.
    Posted(u64),
    /// A stream, by the number of its watch.
    Stream(u64),
}

impl From<Id> for HandleId {
    fn from(id: Id) -> Self {
        let (kind, bits) = match id {
            Id::Call(key) => (0, key.bits()),
            Id::Posted(number) => (1, number),
            Id::Stream(number) => (2, number),
        };
        debug_assert!(bits >> KIND_SHIFT == 0);
        HandleId(kind << KIND_SHIFT | bits)
    }
}

impl Id {
    /// What an id names; `None` if we have not made it.
    pub(crate) fn parse(id: HandleId) -> Option<Self> {
        let bits = id.0 & ((1 << KIND_SHIFT) - 1);
        match id.0 >> KIND_SHIFT {
            0 => Some(Self::Call(Key::from_bits(bits))),
            1 => Some(Self::Posted(bits)),
            2 => Some(Self::Stream(bits)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_the_packing() {
        let number = (1 << KIND_SHIFT) - 1;
        for id in [Id::Call(Key::from_bits(number)), Id::Posted(number), Id::Stream(number)] {
            assert_eq!(Id::parse(id.into()), Some(id));
        }
        assert_eq!(Id::parse(HandleId(u64::MAX)), None);
    }
}
