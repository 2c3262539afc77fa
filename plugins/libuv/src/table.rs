//! A table whose keys are never given twice.

const INDEX_BITS: u32 = 32;
const LAST_GENERATION: u32 = (1 << 30) - 1;

/// A place in a table, and how often it was given away; 62 bits. A stale one names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    index: u32,
    /// From 1.
    generation: u32,
}

impl Key {
    pub(crate) fn bits(self) -> u64 {
        u64::from(self.generation) << INDEX_BITS | u64::from(self.index)
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self { index: bits as u32, generation: (bits >> INDEX_BITS) as u32 }
    }
}

pub(crate) struct Table<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

struct Place<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Table<T> {
    #[inline]
    pub(crate) fn insert(&mut self, value: T) -> Key {
        if let Some(index) = self.free.pop() {
            let place = &mut self.places[index as usize];
            place.value = Some(value);
            return Key { index, generation: place.generation };
        }
        let index = u32::try_from(self.places.len()).expect("fewer than 2^32 callbacks fit into memory");
        self.places.push(Place { generation: 1, value: Some(value) });
        Key { index, generation: 1 }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let place = self.places.get_mut(key.index as usize)?;
        if place.generation == key.generation { place.value.as_mut() } else { None }
    }

    #[inline]
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.places.get_mut(key.index as usize)?;
        let value = if place.generation == key.generation { place.value.take() } else { None }?;
        // A place whose generations were all given away stays empty.
        if place.generation < LAST_GENERATION {
            place.generation += 1;
            self.free.push(key.index);
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_key_names_nothing() {
        let mut table = Table::default();
        let first = table.insert("first");
        assert_eq!(table.remove(first), Some("first"));
        let second = table.insert("second");
        assert_eq!(second.index, first.index, "the place is used again");
        assert_eq!((table.remove(first), table.get_mut(first)), (None, None));
        assert_eq!(table.remove(second), Some("second"));
    }

    #[test]
    fn a_place_is_given_up_before_a_key_would_come_again() {
        let mut table = Table::default();
        let first = table.insert(());
        table.places[0].generation = LAST_GENERATION;
        assert!(table.remove(Key { generation: LAST_GENERATION, ..first }).is_some());
        assert_ne!(table.insert(()).index, first.index);
    }
}
