//! Whether the two halves of an ELF file agree.
//!
//! A shared library describes itself twice: in sections, for linkers, and in segments and the dynamic table, for the
//! system's loader, which believes every address in them and ends the process with a signal where one is wrong. A
//! linker writes both from the same numbers, so where they differ the file is damaged. What only one half has (code,
//! data, the relocations themselves) cannot be checked like that.

use std::ops::Range;

use object::{
    LittleEndian as Little,
    elf::{self, DynamicTag, SectionType},
    read::elf::{Dyn, ProgramHeader, SectionHeader},
};

use super::Flaw;

type Segment = elf::ProgramHeader64<Little>;
type Section = elf::SectionHeader64<Little>;

/// Sections that the loader finds by the first tag; the second, if there is one, is the size in bytes.
const TABLES: [(SectionType, DynamicTag, Option<DynamicTag>); 10] = [
    (elf::SHT_DYNSYM, elf::DT_SYMTAB, None),
    (elf::SHT_HASH, elf::DT_HASH, None),
    (elf::SHT_GNU_HASH, elf::DT_GNU_HASH, None),
    (elf::SHT_GNU_VERSYM, elf::DT_VERSYM, None),
    (elf::SHT_GNU_VERNEED, elf::DT_VERNEED, None),
    (elf::SHT_GNU_VERDEF, elf::DT_VERDEF, None),
    (elf::SHT_RELR, elf::DT_RELR, Some(elf::DT_RELRSZ)),
    (elf::SHT_PREINIT_ARRAY, elf::DT_PREINIT_ARRAY, Some(elf::DT_PREINIT_ARRAYSZ)),
    (elf::SHT_INIT_ARRAY, elf::DT_INIT_ARRAY, Some(elf::DT_INIT_ARRAYSZ)),
    (elf::SHT_FINI_ARRAY, elf::DT_FINI_ARRAY, Some(elf::DT_FINI_ARRAYSZ)),
];

/// Tags whose value is an offset in the table of names.
const NAMES: [DynamicTag; 6] =
    [elf::DT_NEEDED, elf::DT_SONAME, elf::DT_RPATH, elf::DT_RUNPATH, elf::DT_AUXILIARY, elf::DT_FILTER];

/// What a file says of itself, already read.
pub(super) struct Halves<'a> {
    pub(super) segments: &'a [Segment],
    pub(super) dynamic: &'a [elf::Dyn64<Little>],
    pub(super) sections: &'a [Section],
}

impl Halves<'_> {
    pub(super) fn check(&self) -> Result<(), Flaw> {
        for (sound, otherwise) in [
            (self.loads_are_in_order(), "its segments overlap"),
            (self.sections_are_loaded(), "its segments and sections contradict each other"),
            (self.special_segments_are_loaded(), "its segments contradict each other"),
            (self.thread_locals_agree(), "its thread-local segment and sections contradict each other"),
            (self.tables_agree(), "its dynamic table and sections contradict each other"),
            (self.names_are_inside(), "its dynamic table names what is not there"),
            (self.relocations_agree(), "its relocations are not where its dynamic table says"),
        ] {
            if !sound {
                return Err(Flaw::Damaged(otherwise));
            }
        }
        Ok(())
    }

    fn loads(&self) -> impl Iterator<Item = &Segment> {
        self.segments_of(elf::PT_LOAD)
    }

    fn segments_of(&self, kind: elf::ProgramType) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(move |segment| segment.p_type(Little) == kind)
    }

    /// Sections that exist in memory.
    fn allocated(&self) -> impl Iterator<Item = &Section> {
        self.sections.iter().filter(|section| section.sh_flags(Little).contains(elf::SHF_ALLOC))
    }

    fn sections_of(&self, kind: SectionType) -> impl Iterator<Item = &Section> {
        self.allocated().filter(move |section| section.sh_type(Little) == kind)
    }

    /// The entries of the dynamic table up to its end mark.
    fn entries(&self) -> impl Iterator<Item = (DynamicTag, u64)> {
        let all = self.dynamic.iter().map(|entry| (entry.tag(Little), entry.val(Little)));
        all.take_while(|(tag, _)| *tag != elf::DT_NULL)
    }

    /// The value of a tag; the loader takes the last.
    fn value(&self, tag: DynamicTag) -> Option<u64> {
        self.entries().filter(|(found, _)| *found == tag).map(|(_, value)| value).last()
    }

    fn loads_are_in_order(&self) -> bool {
        let mut free = 0;
        self.loads().all(|load| {
            let Range { start, end } = memory(load);
            let in_order = free <= start && start <= end;
            free = end;
            in_order
                && load.p_filesz(Little) <= load.p_memsz(Little)
                && load.p_flags(Little).contains(elf::PF_R)
        })
    }

    fn sections_are_loaded(&self) -> bool {
        // What is zero for each thread takes no place in the process's own memory.
        let mut placed = self.allocated().filter(|section| !(is_thread_local(section) && is_zero(section)));
        placed.all(|section| self.loads().any(|load| holds(load, section)))
    }

    /// All that points into the loaded segments does so at the same place in memory and in the file, and the dynamic
    /// table is its section.
    fn special_segments_are_loaded(&self) -> bool {
        let kinds = [elf::PT_PHDR, elf::PT_DYNAMIC, elf::PT_NOTE, elf::PT_GNU_PROPERTY, elf::PT_GNU_EH_FRAME];
        let mut special = kinds.into_iter().flat_map(|kind| self.segments_of(kind));
        let protects = |protected: &Segment, load: &Segment| {
            load.p_flags(Little).contains(elf::PF_W)
                && load.p_vaddr(Little) == protected.p_vaddr(Little)
                && contains(&whole_pages(memory(load)), &memory(protected))
        };
        let mut tables = self.segments_of(elf::PT_DYNAMIC).map(from_file);
        special.all(|segment| {
            let within = |load| contains(&from_file(load), &from_file(segment));
            self.loads().any(|load| within(load) && shift(load) == shift(segment))
        }) && self
            .segments_of(elf::PT_GNU_RELRO)
            .all(|segment| self.loads().any(|load| protects(segment, load)))
            && tables.next() == self.sections_of(elf::SHT_DYNAMIC).map(place).next()
            && tables.next().is_none()
    }

    fn thread_locals_agree(&self) -> bool {
        let sections: Vec<_> = self.allocated().filter(|section| is_thread_local(section)).collect();
        let Some(segment) = self.segments_of(elf::PT_TLS).next() else { return sections.is_empty() };
        let end_of = |zero: bool| {
            let ends = sections.iter().filter(|section| is_zero(section) == zero).map(|s| place(s).end);
            ends.max().unwrap_or(0)
        };
        let (align, all) = (segment.p_align(Little), memory(segment));
        let (initial_end, end) = (end_of(false), end_of(true).max(end_of(false)));
        // A linker may round the size up.
        sections.iter().map(|section| place(section).start).min() == Some(all.start)
            && (initial_end == 0 || initial_end == from_file(segment).end)
            && (end..end.saturating_add(align)).contains(&all.end)
            && align.is_power_of_two()
            && sections.iter().map(|section| section.sh_addralign(Little)).max() == Some(align)
    }

    fn tables_agree(&self) -> bool {
        let agrees = |(kind, address, size): &(SectionType, DynamicTag, Option<DynamicTag>)| {
            let mut sections = self.sections_of(*kind).map(place);
            match (sections.next(), self.value(*address)) {
                (None, None) => true,
                (Some(section), Some(address)) => {
                    section.start == address
                        && size.is_none_or(|size| self.value(size) == Some(section.end - section.start))
                        && sections.next().is_none()
                }
                _ => false,
            }
        };
        let is_code = |address: u64| {
            let code = |section: &&Section| section.sh_flags(Little).contains(elf::SHF_EXECINSTR);
            self.allocated().filter(code).any(|section| place(section).contains(&address))
        };
        let has_end_mark = self.entries().count() < self.dynamic.len();
        has_end_mark
            && TABLES.iter().all(agrees)
            && self.value(elf::DT_SYMENT) == Some(size_of::<elf::Sym64<Little>>() as u64)
            && [elf::DT_INIT, elf::DT_FINI].iter().filter_map(|tag| self.value(*tag)).all(is_code)
    }

    fn names_are_inside(&self) -> bool {
        let symbols = self.sections_of(elf::SHT_DYNSYM).next();
        let names = symbols.and_then(|symbols| self.sections.get(symbols.link(Little).0));
        let Some(names) = names.map(place) else { return false };
        let size = names.end - names.start;
        self.value(elf::DT_STRTAB) == Some(names.start)
            && self.value(elf::DT_STRSZ) == Some(size)
            && self.entries().all(|(tag, value)| !NAMES.contains(&tag) || value < size)
    }

    fn relocations_agree(&self) -> bool {
        const ENTRY: u64 = size_of::<elf::Rela64<Little>>() as u64;
        let sections: Vec<_> = self.sections_of(elf::SHT_RELA).map(place).collect();
        let range = |start, size| {
            let start = self.value(start)?;
            Some(start..start.saturating_add(self.value(size).unwrap_or(0)))
        };
        let data = range(elf::DT_RELA, elf::DT_RELASZ);
        let calls = range(elf::DT_JMPREL, elf::DT_PLTRELSZ);
        let kind_of_calls = calls.as_ref().map(|_| elf::DT_RELA.0.cast_unsigned());
        let room = data.as_ref().map_or(0, |data| (data.end - data.start) / ENTRY);
        let named: Vec<_> = data.into_iter().chain(calls).collect();
        // A range may be several sections.
        named.iter().all(|range| {
            sections.iter().any(|section| section.start == range.start)
                && sections.iter().any(|section| section.end == range.end)
        }) && sections.iter().all(|section| named.iter().any(|range| contains(range, section)))
            && self.value(elf::DT_RELAENT) == self.value(elf::DT_RELA).map(|_| ENTRY)
            && self.value(elf::DT_RELACOUNT).is_none_or(|count| count <= room)
            && self.value(elf::DT_PLTREL) == kind_of_calls
            && self.value(elf::DT_REL).is_none()
    }
}

/// Whether a loaded segment gives a section its place, its bytes and its rights.
fn holds(load: &Segment, section: &Section) -> bool {
    let (place, has, may) = (place(section), section.sh_flags(Little), load.p_flags(Little));
    let offset = section.sh_offset(Little).wrapping_sub(section.sh_addr(Little));
    let bytes = match is_zero(section) {
        true => place.start >= from_file(load).end,
        false => contains(&from_file(load), &place) && offset == shift(load),
    };
    contains(&memory(load), &place)
        && bytes
        && (!has.contains(elf::SHF_WRITE) || may.contains(elf::PF_W))
        && (!has.contains(elf::SHF_EXECINSTR) || may.contains(elf::PF_X))
}

fn is_thread_local(section: &Section) -> bool {
    section.sh_flags(Little).contains(elf::SHF_TLS)
}

/// Whether it has no bytes in the file.
fn is_zero(section: &Section) -> bool {
    section.sh_type(Little) == elf::SHT_NOBITS
}

/// Where a section lies in memory.
fn place(section: &Section) -> Range<u64> {
    let start = section.sh_addr(Little);
    start..start.saturating_add(section.sh_size(Little))
}

/// Where a segment lies in memory.
fn memory(segment: &Segment) -> Range<u64> {
    let start = segment.p_vaddr(Little);
    start..start.saturating_add(segment.p_memsz(Little))
}

/// The part of it that comes from the file.
fn from_file(segment: &Segment) -> Range<u64> {
    let start = segment.p_vaddr(Little);
    start..start.saturating_add(segment.p_filesz(Little))
}

/// From a place in memory to the place in the file.
fn shift(segment: &Segment) -> u64 {
    segment.p_offset(Little).wrapping_sub(segment.p_vaddr(Little))
}

/// Up to the end of the largest page that a machine of ours has.
fn whole_pages(memory: Range<u64>) -> Range<u64> {
    const PAGE: u64 = 64 << 10;
    memory.start..memory.end.checked_next_multiple_of(PAGE).unwrap_or(u64::MAX)
}

fn contains(outer: &Range<u64>, inner: &Range<u64>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}
