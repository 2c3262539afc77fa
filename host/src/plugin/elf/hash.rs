//! The tables by which the loader finds a symbol, and the only ones that tell how many symbols there are.
//!
//! The loader follows them without a look at any bound.

use object::{
    LittleEndian as Little, ReadRef, U32, U64,
    elf::{self, GnuHashHeader, HashHeader},
};

use super::image::Image;

type Word = U32<Little>;

/// A table that was followed from end to end.
pub(super) struct Hash<'data> {
    /// How many symbols there are, with those that nobody can find.
    pub(super) symbols: u32,
    /// Those that can be found, if the table has their hashes.
    gnu: Option<Gnu<'data>>,
}

struct Gnu<'data> {
    /// The first symbol that can be found.
    base: u32,
    buckets: &'data [Word],
    /// The hash of each symbol from `base` on; its lowest bit marks the end of a chain.
    values: &'data [Word],
}

impl<'data> Hash<'data> {
    /// The table of a file, or both: the loader takes the GNU one, and others may take the other.
    pub(super) fn read(image: &Image<'data>) -> Option<Self> {
        let table = |tag| image.value(tag).map(|address| image.bytes_from(address).unwrap_or_default());
        let gnu = match table(elf::DT_GNU_HASH) {
            Some(bytes) => Some(Gnu::read(bytes)?),
            None => None,
        };
        let old = match table(elf::DT_HASH) {
            Some(bytes) => Some(follow_old(bytes)?),
            None => None,
        };
        let of_gnu = gnu.as_ref().map(|(_, symbols)| *symbols);
        let symbols = of_gnu.or(old)?;
        (old.is_none_or(|old| old == symbols)).then_some(Self { symbols, gnu: gnu.map(|(table, _)| table) })
    }

    /// Whether each symbol lies where its name leads.
    pub(super) fn leads_to(&self, name: impl Fn(u32) -> Option<&'data [u8]>) -> bool {
        let Some(gnu) = &self.gnu else { return true };
        gnu.chains().all(|(bucket, symbol, value)| {
            let hash = name(symbol).map(elf::gnu_hash);
            hash.is_some_and(|hash| hash | 1 == value | 1 && hash as usize % gnu.buckets.len() == bucket)
        })
    }
}

impl<'data> Gnu<'data> {
    /// The table and the number of symbols, if every chain has an end and begins after the end of the one before: all
    /// linkers sort the symbols by bucket.
    fn read(bytes: &'data [u8]) -> Option<(Self, u32)> {
        let mut at = 0;
        let header: &GnuHashHeader<Little> = bytes.read(&mut at).ok()?;
        let (words, base) = (header.bloom_count.get(Little), header.symbol_base.get(Little));
        // The loader takes `words - 1` for a mask, and glibc ends the process over any other number.
        if !words.is_power_of_two() {
            return None;
        }
        bytes.read_slice::<U64<Little>>(&mut at, words as usize).ok()?;
        let buckets: &[Word] = bytes.read_slice(&mut at, header.bucket_count.get(Little) as usize).ok()?;
        let rest = bytes.get(usize::try_from(at).ok()?..)?;
        let values: &[Word] = rest.read_slice_at(0, rest.len() / size_of::<Word>()).ok()?;
        let table = Self { base, buckets, values };
        let mut next = base;
        for bucket in buckets.iter().map(|bucket| bucket.get(Little)).filter(|bucket| *bucket != 0) {
            let chain = table.chain(bucket)?;
            let length = 1 + chain.iter().position(|value| value.get(Little) & 1 != 0)?;
            if bucket != next {
                return None;
            }
            next = next.checked_add(u32::try_from(length).ok()?)?;
        }
        // The symbol 0 is nobody's.
        (base != 0).then_some((table, next))
    }

    /// What follows the first symbol of a chain, that one included.
    fn chain(&self, first: u32) -> Option<&'data [Word]> {
        self.values.get(first.checked_sub(self.base)? as usize..)
    }

    /// Bucket, symbol and value of each symbol that can be found.
    fn chains(&self) -> impl Iterator<Item = (usize, u32, u32)> {
        let buckets = self.buckets.iter().enumerate().filter(|(_, first)| first.get(Little) != 0);
        buckets.flat_map(|(bucket, first)| {
            let first = first.get(Little);
            let values = self.chain(first).unwrap_or_default().iter().map(|value| value.get(Little));
            let mut is_end = false;
            let chain = values.take_while(move |value| !std::mem::replace(&mut is_end, value & 1 != 0));
            (first..).zip(chain).map(move |(symbol, value)| (bucket, symbol, value))
        })
    }
}

/// The number of symbols in a table of System V, if its chains lead to symbols and end: 0 is the end of each.
fn follow_old(bytes: &[u8]) -> Option<u32> {
    let mut at = 0;
    let header: &HashHeader<Little> = bytes.read(&mut at).ok()?;
    let count = header.chain_count.get(Little);
    let buckets: &[Word] = bytes.read_slice(&mut at, header.bucket_count.get(Little) as usize).ok()?;
    let chains: &[Word] = bytes.read_slice(&mut at, count as usize).ok()?;
    let mut steps = 0;
    for bucket in buckets {
        let mut symbol = bucket.get(Little);
        while symbol != 0 {
            symbol = chains.get(symbol as usize)?.get(Little);
            steps += 1;
            // More than there are symbols: it goes in a circle.
            if steps > count {
                return None;
            }
        }
    }
    // The loader divides by the number of buckets.
    (!buckets.is_empty()).then_some(count)
}
