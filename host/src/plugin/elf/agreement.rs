//! Whether the two halves of an ELF file agree.
//!
//! A shared library describes itself twice: in sections, for linkers, and in segments and the dynamic table, for the
//! system's loader, which believes every address in them and ends the process with a signal where one is wrong. A
//! linker writes both from the same numbers, so where they differ the file is damaged. What the tables contain is looked
//! at elsewhere.

use std::ops::Range;

use object::{
    LittleEndian as Little,
    elf::{self, DynamicTag, SectionType},
    read::elf::{ProgramHeader, SectionHeader},
};

use super::{
    Flaw,
    image::{Image, Segment, contains, from_file, memory},
};

pub(super) type Section = elf::SectionHeader64<Little>;

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

/// More than a process can have: addresses there are mistakes, and arithmetic on them is not to overflow.
const END_OF_MEMORY: u64 = 1 << 56;

/// What a file says of itself, already read.
pub(super) struct Halves<'a> {
    pub(super) image: Image<'a>,
    pub(super) sections: &'a [Section],
}

impl Halves<'_> {
    pub(super) fn check(&self) -> Result<(), Flaw> {
        for (sound, otherwise) in [
            (self.loads_are_in_order(), "its segments overlap"),
            (self.sections_are_loaded(), "its segments and sections contradict each other"),
            (self.special_segments_are_loaded(), "its segments contradict each other"),
            (self.protected_are_apart(), "its read-only segment takes in more than its start"),
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

    /// Sections that exist in memory.
    fn allocated(&self) -> impl Iterator<Item = &Section> {
        self.sections.iter().filter(|section| section.sh_flags(Little).contains(elf::SHF_ALLOC))
    }

    /// Those that have a place in the process's own memory: what is zero for each thread has none.
    fn placed(&self) -> impl Iterator<Item = &Section> {
        self.allocated().filter(|section| !(is_thread_local(section) && is_zero(section)))
    }

    fn sections_of(&self, kind: SectionType) -> impl Iterator<Item = &Section> {
        self.allocated().filter(move |section| section.sh_type(Little) == kind)
    }

    fn loads_are_in_order(&self) -> bool {
        let mut free = 0;
        self.image.loads().all(|load| {
            let (Range { start, end }, align) = (memory(load), load.p_align(Little));
            let in_order = free <= start && start <= end && end < END_OF_MEMORY;
            free = end;
            in_order
                && load.p_filesz(Little) <= load.p_memsz(Little)
                && load.p_flags(Little).contains(elf::PF_R)
                && align.is_power_of_two()
                && shift(load).is_multiple_of(align)
        })
    }

    fn sections_are_loaded(&self) -> bool {
        self.placed().all(|section| self.image.loads().any(|load| holds(load, section)))
    }

    /// All that points into the loaded segments does so at the same place in memory and in the file, and the dynamic
    /// table is its section.
    fn special_segments_are_loaded(&self) -> bool {
        let kinds = [elf::PT_PHDR, elf::PT_DYNAMIC, elf::PT_NOTE, elf::PT_GNU_PROPERTY, elf::PT_GNU_EH_FRAME];
        let mut special = kinds.into_iter().flat_map(|kind| self.image.segments_of(kind));
        let mut tables = self.image.segments_of(elf::PT_DYNAMIC).map(from_file);
        special.all(|segment| {
            let within = |load| contains(&from_file(load), &from_file(segment));
            self.image.loads().any(|load| within(load) && shift(load) == shift(segment))
        }) && tables.next() == self.sections_of(elf::SHT_DYNAMIC).map(place).next()
            && tables.next().is_none()
    }

    /// What the loader makes read-only after the relocations, in whole pages, is the start of a segment and ends between
    /// two sections, so that nothing loses its right to be written.
    fn protected_are_apart(&self) -> bool {
        /// Of `.got.plt`, GNU ld protects the words that the loader fills in.
        const RESERVED: u64 = 3 * size_of::<u64>() as u64;
        self.image.segments_of(elf::PT_GNU_RELRO).all(|segment| {
            let protected = memory(segment);
            let starts_with_it = |load: &&Segment| {
                load.p_flags(Little).contains(elf::PF_W) && memory(load).start == protected.start
            };
            let end = self.image.loads().find(starts_with_it).map(end_of_pages);
            let mut starts = self.image.loads().map(|load| memory(load).start);
            end.is_some_and(|end| protected.end <= end)
                && starts.all(|start| start <= protected.start || protected.end <= start)
                && self.placed().map(place).all(|section| {
                    section.end <= protected.end || protected.end <= section.start.saturating_add(RESERVED)
                })
        })
    }

    fn thread_locals_agree(&self) -> bool {
        let sections: Vec<_> = self.allocated().filter(|section| is_thread_local(section)).collect();
        let mut segments = self.image.segments_of(elf::PT_TLS);
        let (segment, None) = (segments.next(), segments.next()) else { return false };
        let Some(segment) = segment else { return sections.is_empty() };
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
            match (sections.next(), self.image.value(*address)) {
                (None, None) => true,
                (Some(section), Some(address)) => {
                    section.start == address
                        && size.is_none_or(|size| self.image.value(size) == Some(section.end - section.start))
                        && sections.next().is_none()
                }
                _ => false,
            }
        };
        // A linker may be told of another function than that at the start of `.init`.
        let is_code = |address: u64| {
            let code = |section: &&Section| section.sh_flags(Little).contains(elf::SHF_EXECINSTR);
            self.allocated().filter(code).any(|section| place(section).contains(&address))
        };
        let has_end_mark = self.image.entries().count() < self.image.dynamic.len();
        has_end_mark
            && TABLES.iter().all(agrees)
            && self.image.value(elf::DT_SYMENT) == Some(size_of::<elf::Sym64<Little>>() as u64)
            && [elf::DT_INIT, elf::DT_FINI].iter().filter_map(|tag| self.image.value(*tag)).all(is_code)
    }

    fn names_are_inside(&self) -> bool {
        let symbols = self.sections_of(elf::SHT_DYNSYM).next();
        let names = symbols.and_then(|symbols| self.sections.get(symbols.link(Little).0));
        let Some(names) = names.map(place) else { return false };
        let size = names.end - names.start;
        self.image.value(elf::DT_STRTAB) == Some(names.start)
            && self.image.value(elf::DT_STRSZ) == Some(size)
            && self.image.entries().all(|(tag, value)| !NAMES.contains(&tag) || value < size)
    }

    fn relocations_agree(&self) -> bool {
        const ENTRY: u64 = size_of::<elf::Rela64<Little>>() as u64;
        let sections: Vec<_> = self.sections_of(elf::SHT_RELA).map(place).collect();
        let data = self.image.range(elf::DT_RELA, elf::DT_RELASZ);
        let calls = self.image.range(elf::DT_JMPREL, elf::DT_PLTRELSZ);
        let kind_of_calls = calls.as_ref().map(|_| elf::DT_RELA.0.cast_unsigned());
        let room = data.as_ref().map_or(0, |data| (data.end - data.start) / ENTRY);
        let named: Vec<_> = data.into_iter().chain(calls).collect();
        // A range may be several sections.
        named.iter().all(|range| {
            sections.iter().any(|section| section.start == range.start)
                && sections.iter().any(|section| section.end == range.end)
        }) && sections.iter().all(|section| named.iter().any(|range| contains(range, section)))
            && self.image.value(elf::DT_RELAENT) == self.image.value(elf::DT_RELA).map(|_| ENTRY)
            && self.image.value(elf::DT_RELACOUNT).is_none_or(|count| count <= room)
            && self.image.value(elf::DT_PLTREL) == kind_of_calls
            && self.image.value(elf::DT_REL).is_none()
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
pub(super) fn place(section: &Section) -> Range<u64> {
    let start = section.sh_addr(Little);
    start..start.saturating_add(section.sh_size(Little))
}

/// From a place in memory to the place in the file.
fn shift(segment: &Segment) -> u64 {
    segment.p_offset(Little).wrapping_sub(segment.p_vaddr(Little))
}

/// The end of the last page of a segment.
fn end_of_pages(segment: &Segment) -> u64 {
    memory(segment).end.checked_next_multiple_of(segment.p_align(Little)).unwrap_or(u64::MAX)
}
