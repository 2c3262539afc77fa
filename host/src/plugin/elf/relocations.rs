//! The relocations: what the loader writes into the library once it knows where the library lies.
//!
//! Each names a place, a kind and mostly a symbol. That the place is the right one, and what is added to it, nobody can
//! tell but the linker.

use std::ops::Range;

use object::{
    LittleEndian as Little,
    elf::{self, RelocationType},
    read::elf::{Rela, RelrIterator},
};

use super::{
    Header,
    image::{Image, contains},
    symbols::Symbols,
};

type Relocation = elf::Rela64<Little>;

/// What a relocation puts into its place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// An address in the library itself.
    Relative,
    /// What a function in the library itself answers.
    Indirect,
    /// The address of a symbol.
    Address,
    /// Where a thread-local variable is.
    ThreadLocal,
}

impl Kind {
    /// Those that a linker puts into a library for this machine.
    fn of(number: RelocationType) -> Option<Self> {
        if cfg!(target_arch = "x86_64") {
            match number {
                elf::R_X86_64_RELATIVE => Some(Self::Relative),
                elf::R_X86_64_IRELATIVE => Some(Self::Indirect),
                elf::R_X86_64_64 | elf::R_X86_64_GLOB_DAT | elf::R_X86_64_JUMP_SLOT => Some(Self::Address),
                elf::R_X86_64_DTPMOD64
                | elf::R_X86_64_DTPOFF64
                | elf::R_X86_64_TPOFF64
                | elf::R_X86_64_TLSDESC => Some(Self::ThreadLocal),
                _ => None,
            }
        } else {
            match number {
                elf::R_AARCH64_RELATIVE => Some(Self::Relative),
                elf::R_AARCH64_IRELATIVE => Some(Self::Indirect),
                elf::R_AARCH64_ABS64 | elf::R_AARCH64_GLOB_DAT | elf::R_AARCH64_JUMP_SLOT => {
                    Some(Self::Address)
                }
                elf::R_AARCH64_TLS_DTPMOD
                | elf::R_AARCH64_TLS_DTPREL
                | elf::R_AARCH64_TLS_TPREL
                | elf::R_AARCH64_TLSDESC => Some(Self::ThreadLocal),
                _ => None,
            }
        }
    }
}

/// Whether the loader can carry all of them out, and finds code behind what it calls.
pub(super) fn are_sound<'data>(image: &Image<'data>, symbols: &Symbols<'data>) -> bool {
    let table = |address, size| -> Option<&[Relocation]> {
        match image.range(address, size) {
            Some(range) => image.table(range.start, (range.end - range.start) / ENTRY),
            None => Some(&[]),
        }
    };
    let packed = match image.range(elf::DT_RELR, elf::DT_RELRSZ) {
        Some(range) => image.table(range.start, (range.end - range.start) / WORD),
        None => Some(&[][..]),
    };
    let (Some(data), Some(calls), Some(packed)) =
        (table(elf::DT_RELA, elf::DT_RELASZ), table(elf::DT_JMPREL, elf::DT_PLTRELSZ), packed)
    else {
        return false;
    };
    let relative = usize::try_from(image.value(elf::DT_RELACOUNT).unwrap_or(0)).unwrap_or(usize::MAX);
    let mut places: Vec<u64> = RelrIterator::<Header>::new(Little, packed).collect();
    places.extend(data.iter().chain(calls).map(|relocation| relocation.r_offset.get(Little)));
    places.sort_unstable();
    data.iter().chain(calls).all(|relocation| is_sound(relocation, image, symbols))
        // glibc ends the process if one of these is of another kind.
        && data.iter().take(relative).all(|relocation| kind(relocation) == Some(Kind::Relative))
        && packed.first().is_none_or(|first| first.0.get(Little) & 1 == 0)
        && places.iter().all(|place| can_be_written(*place, image))
        && places.windows(2).all(|pair| pair[1] - pair[0] >= WORD)
        && arrays_are_code(image, data, &places)
}

const ENTRY: u64 = size_of::<Relocation>() as u64;

/// What all of them write.
const WORD: u64 = size_of::<u64>() as u64;

fn kind(relocation: &Relocation) -> Option<Kind> {
    Kind::of(Rela::r_type(relocation, Little, false))
}

fn word(place: u64) -> Range<u64> {
    place..place.saturating_add(WORD)
}

fn is_sound<'data>(relocation: &Relocation, image: &Image<'data>, symbols: &Symbols<'data>) -> bool {
    let index = Rela::r_sym(relocation, Little, false);
    let Some(symbol) = symbols.get(index) else { return false };
    match kind(relocation) {
        None => false,
        Some(Kind::Relative) => index == 0,
        Some(Kind::Indirect) => index == 0 && image.is_code(relocation.r_addend.get(Little).cast_unsigned()),
        Some(Kind::Address) => index != 0 && symbol.st_type() != elf::STT_TLS,
        // Without a symbol it is the library's own.
        Some(Kind::ThreadLocal) if index == 0 => image.segments_of(elf::PT_TLS).next().is_some(),
        Some(Kind::ThreadLocal) => symbol.st_type() == elf::STT_TLS,
    }
}

/// In a segment for data, and not in the table that the loader works by.
fn can_be_written<'data>(place: u64, image: &Image<'data>) -> bool {
    let place = word(place);
    let mut tables = image.segments_of(elf::PT_DYNAMIC).map(super::image::memory);
    image.is_writable(&place) && tables.all(|table| place.end <= table.start || table.end <= place.start)
}

/// Whether the functions that the loader calls first and last, whose addresses relocations make, are code.
fn arrays_are_code<'data>(image: &Image<'data>, data: &[Relocation], places: &[u64]) -> bool {
    let arrays = [
        (elf::DT_PREINIT_ARRAY, elf::DT_PREINIT_ARRAYSZ),
        (elf::DT_INIT_ARRAY, elf::DT_INIT_ARRAYSZ),
        (elf::DT_FINI_ARRAY, elf::DT_FINI_ARRAYSZ),
    ];
    arrays.into_iter().filter_map(|(start, size)| image.range(start, size)).all(|array| {
        let relative = data.iter().filter(|relocation| {
            contains(&array, &word(relocation.r_offset.get(Little)))
                && kind(relocation) == Some(Kind::Relative)
        });
        let mut addends = relative.map(|relocation| relocation.r_addend.get(Little).cast_unsigned());
        let from = places.partition_point(|place| *place < array.start);
        let until = places.partition_point(|place| *place < array.end);
        (until - from) as u64 == (array.end - array.start) / WORD
            && addends.all(|addend| image.is_code(addend))
    })
}
