//! What the system's loader sees of a file: the segments, and the dynamic table that leads to everything else.

use std::ops::Range;

use object::{
    LittleEndian as Little, Pod, ReadRef,
    elf::{self, DynamicTag},
    read::elf::{Dyn, ProgramHeader},
};

pub(super) type Segment = elf::ProgramHeader64<Little>;

/// A file as it would lie in memory, at the addresses that it was linked for.
#[derive(Clone, Copy)]
pub(super) struct Image<'data> {
    pub(super) segments: &'data [Segment],
    pub(super) dynamic: &'data [elf::Dyn64<Little>],
    pub(super) data: super::Data<'data>,
}

impl<'data> Image<'data> {
    pub(super) fn segments_of(&self, kind: elf::ProgramType) -> impl Iterator<Item = &'data Segment> {
        self.segments.iter().filter(move |segment| segment.p_type(Little) == kind)
    }

    pub(super) fn loads(&self) -> impl Iterator<Item = &'data Segment> {
        self.segments_of(elf::PT_LOAD)
    }

    /// The entries of the dynamic table up to its end mark.
    pub(super) fn entries(&self) -> impl Iterator<Item = (DynamicTag, u64)> + use<'data> {
        let all = self.dynamic.iter().map(|entry| (entry.tag(Little), entry.val(Little)));
        all.take_while(|(tag, _)| *tag != elf::DT_NULL)
    }

    /// The value of a tag; the loader takes the last.
    pub(super) fn value(&self, tag: DynamicTag) -> Option<u64> {
        self.entries().filter(|(found, _)| *found == tag).map(|(_, value)| value).last()
    }

    /// The range that an address and a size in the dynamic table say.
    pub(super) fn range(&self, address: DynamicTag, size: DynamicTag) -> Option<Range<u64>> {
        let start = self.value(address)?;
        Some(start..start.saturating_add(self.value(size).unwrap_or(0)))
    }

    /// The bytes from an address to the end of what its segment has of the file. Each segment is read once.
    pub(super) fn bytes_from(&self, address: u64) -> Option<&'data [u8]> {
        let segment = self.loads().find(|load| from_file(load).contains(&address))?;
        super::check_table(segment.p_filesz(Little)).ok()?;
        let bytes = segment.data(Little, self.data).ok()?;
        bytes.get(usize::try_from(address - segment.p_vaddr(Little)).ok()?..)
    }

    /// A table of entries without a mark at its end.
    pub(super) fn table<T: Pod>(&self, address: u64, count: u64) -> Option<&'data [T]> {
        self.bytes_from(address)?.read_slice_at(0, usize::try_from(count).ok()?).ok()
    }

    /// Whether a range lies in memory, in one segment.
    pub(super) fn is_loaded(&self, range: &Range<u64>) -> bool {
        self.loads().any(|load| contains(&memory(load), range))
    }

    /// Whether the loader may write there.
    pub(super) fn is_writable(&self, range: &Range<u64>) -> bool {
        let mut loads = self.loads().filter(|load| load.p_flags(Little).contains(elf::PF_W));
        loads.any(|load| contains(&memory(load), range))
    }

    /// Whether something there can be called.
    pub(super) fn is_code(&self, address: u64) -> bool {
        let mut loads = self.loads().filter(|load| load.p_flags(Little).contains(elf::PF_X));
        loads.any(|load| from_file(load).contains(&address))
    }
}

/// Where a segment lies in memory.
pub(super) fn memory(segment: &Segment) -> Range<u64> {
    let start = segment.p_vaddr(Little);
    start..start.saturating_add(segment.p_memsz(Little))
}

/// The part of it that comes from the file.
pub(super) fn from_file(segment: &Segment) -> Range<u64> {
    let start = segment.p_vaddr(Little);
    start..start.saturating_add(segment.p_filesz(Little))
}

pub(super) fn contains(outer: &Range<u64>, inner: &Range<u64>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}
