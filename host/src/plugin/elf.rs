//! What an ELF file is, read from the file without running or mapping any of it.
//!
//! The file may be garbage, and it may change while it is read: everything comes through read(2) with bounds, and
//! nothing here panics.

mod agreement;
mod hash;
mod image;
mod relocations;
mod symbols;
mod versions;

use std::{fs::File, os::unix::fs::FileExt};

use loophost_plugin_api::Descriptor;
use object::{
    LittleEndian as Little, ReadCache, ReadRef, elf,
    read::elf::{Dyn, FileHeader, ProgramHeader, Sym},
};

use super::Flaw;
use agreement::{Halves, Section};
use image::{Image, from_file};
use symbols::Symbols;

type Header = elf::FileHeader64<Little>;

/// What everything is read through.
type Data<'data> = &'data ReadCache<&'data File>;

/// The machine that this host runs on.
const MACHINE: elf::Machine = if cfg!(target_arch = "x86_64") {
    elf::EM_X86_64
} else if cfg!(target_arch = "aarch64") {
    elf::EM_AARCH64
} else {
    panic!("loophost does not know which plugins this machine can load")
};

/// No table of a real library is larger; a file that says so is not worth the memory.
const LARGEST_TABLE: u64 = 256 << 20;

/// The bytes of the static `loophost_plugin_1`, once the file has turned out to be a complete shared library of this
/// machine.
pub(super) fn descriptor(file: &File) -> Result<Vec<u8>, Flaw> {
    let cache = ReadCache::new(file);
    let (image, sections) = read(file, &cache)?;
    let symbols = Symbols::read(&image)?.ok_or(Flaw::NoDescriptor)?;
    // Before the rest: what is no plugin is not judged.
    let descriptor = symbols.find(Descriptor::SYMBOL).ok_or(Flaw::NoDescriptor)?;
    check(&image, sections, &symbols)?;
    read_at_address(&image, descriptor.st_value(Little)).ok_or(Flaw::DamagedDescriptor)
}

/// The segments with the dynamic table, and the sections, of a complete shared library.
fn read<'data>(file: &File, data: Data<'data>) -> Result<(Image<'data>, &'data [Section]), Flaw> {
    let size = data.len().map_err(|()| Flaw::Damaged("its size is unknown"))?;
    let header = header(file, data, size)?;
    let segments = header.program_headers(Little, data).map_err(damaged)?;
    let needed = segments
        .iter()
        .map(|segment| segment.p_offset(Little).saturating_add(segment.p_filesz(Little)))
        .max()
        .ok_or(Flaw::Damaged("it has no segments"))?;
    if needed > size {
        return Err(Flaw::Truncated { size, needed });
    }
    let dynamic = dynamic_table(segments, data)?;
    if is_executable(dynamic) {
        return Err(Flaw::Executable);
    }
    let sections = header.section_headers(Little, data).map_err(damaged)?;
    Ok((Image { segments, dynamic, data }, sections))
}

/// Whether all that the system's loader will believe is true, as far as the file itself can tell.
fn check<'data>(
    image: &Image<'data>,
    sections: &'data [Section],
    symbols: &Symbols<'data>,
) -> Result<(), Flaw> {
    Halves { image: *image, sections }.check()?;
    for (sound, otherwise) in [
        (symbols.are_sound(image, sections), "its symbols make no sense"),
        (versions::are_sound(image, symbols), "the versions of its symbols make no sense"),
        (relocations::are_sound(image, symbols), "its relocations make no sense"),
    ] {
        if !sound {
            return Err(Flaw::Damaged(otherwise));
        }
    }
    Ok(())
}

/// The header of a library for this machine, whose header tables lie within the file.
fn header<'data>(file: &File, data: Data<'data>, size: u64) -> Result<&'data Header, Flaw> {
    let start = start_of(file);
    if !start.starts_with(&elf::ELFMAG) {
        return Err(Flaw::of_other_file(&start));
    }
    let header: &Header =
        data.read_at(0).map_err(|()| Flaw::Truncated { size, needed: size_of::<Header>() as u64 })?;
    if !header.is_class_64() || !header.is_little_endian() {
        return Err(Flaw::OtherMachine("a machine that is not 64-bit little-endian"));
    }
    if header.e_machine(Little) != MACHINE {
        return Err(Flaw::OtherMachine(machine_name(header.e_machine(Little))));
    }
    match header.e_type(Little) {
        elf::ET_DYN => {}
        elf::ET_EXEC => return Err(Flaw::Executable),
        elf::ET_REL => return Err(Flaw::ObjectFile),
        _ => return Err(Flaw::Damaged("it is neither a library nor a program")),
    }
    // More of them than these fields can count is possible, in tables that could take any amount of memory; no library
    // has them.
    let uncounted = header.e_shnum(Little) == 0 && header.e_shoff(Little) != 0;
    if uncounted || header.e_phnum(Little) == elf::PN_XNUM {
        return Err(Flaw::Damaged("a table in it has no sensible size"));
    }
    // Here, not with the segments: a linker writes the sections' table last, so it is the first to be cut off.
    let segments = table_end(header.e_phoff(Little), header.e_phnum(Little), header.e_phentsize(Little));
    let sections = table_end(header.e_shoff(Little), header.e_shnum(Little), header.e_shentsize(Little));
    let needed = segments.max(sections);
    if needed > size {
        return Err(Flaw::Truncated { size, needed });
    }
    Ok(header)
}

/// The first bytes, as many as there are: too few, and it is no ELF file.
fn start_of(file: &File) -> Vec<u8> {
    let mut start = [0; 256];
    let read = file.read_at(&mut start, 0).unwrap_or(0);
    start[..read].to_vec()
}

fn table_end(offset: u64, count: u16, entry: u16) -> u64 {
    offset.saturating_add(u64::from(count) * u64::from(entry))
}

fn dynamic_table<'data>(
    segments: &[elf::ProgramHeader64<Little>],
    data: Data<'data>,
) -> Result<&'data [elf::Dyn64<Little>], Flaw> {
    let Some(segment) = segments.iter().find(|segment| segment.p_type(Little) == elf::PT_DYNAMIC) else {
        return Err(Flaw::Damaged("it has no dynamic segment"));
    };
    check_table(segment.p_filesz(Little))?;
    Ok(segment.dynamic(Little, data).map_err(damaged)?.unwrap_or_default())
}

/// Whether it is a position-independent executable: dlopen(3) refuses those, in words that do not help.
fn is_executable(dynamic: &[elf::Dyn64<Little>]) -> bool {
    dynamic
        .iter()
        .any(|entry| entry.tag(Little) == elf::DT_FLAGS_1 && entry.val(Little) & elf::DF_1_PIE.0 != 0)
}

/// The descriptor that is loaded at `address`; its own second field says how long it is.
fn read_at_address(image: &Image<'_>, address: u64) -> Option<Vec<u8>> {
    let data = image.data;
    let segment = image.loads().find(|load| from_file(load).contains(&address))?;
    let inside = address - segment.p_vaddr(Little);
    let offset = segment.p_offset(Little).checked_add(inside)?;
    let room = segment.p_filesz(Little) - inside;
    let magic_and_size = data.read_bytes_at(offset, 20).ok()?;
    let size = u64::from(u32::from_le_bytes(magic_and_size.get(16..)?.try_into().ok()?));
    if size > room || size > Descriptor::LONGEST as u64 {
        return None;
    }
    data.read_bytes_at(offset, size).ok().map(<[u8]>::to_vec)
}

fn check_table(size: u64) -> Result<(), Flaw> {
    if size > LARGEST_TABLE {
        return Err(Flaw::Damaged("a table in it has no sensible size"));
    }
    Ok(())
}

fn damaged(_: object::Error) -> Flaw {
    Flaw::Damaged("its tables make no sense")
}

fn machine_name(machine: elf::Machine) -> &'static str {
    match machine {
        elf::EM_386 => "x86",
        elf::EM_X86_64 => "x86_64",
        elf::EM_ARM => "arm",
        elf::EM_AARCH64 => "aarch64",
        elf::EM_RISCV => "riscv",
        elf::EM_PPC64 => "powerpc64",
        elf::EM_S390 => "s390",
        _ => "another machine",
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, fs};

    use super::*;

    /// The checks are no stricter than linkers: what this process runs on passes them.
    #[test]
    fn libraries_of_the_system_are_sound() {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let files = maps.lines().filter_map(|line| line.split_ascii_whitespace().nth(5));
        let libraries: HashSet<_> = files.filter(|file| file.contains(".so")).collect();
        assert!(libraries.len() > 1, "{maps}");
        for path in libraries {
            let file = File::open(path).unwrap();
            let cache = ReadCache::new(&file);
            let (image, sections) = read(&file, &cache).unwrap();
            let symbols = Symbols::read(&image).unwrap().unwrap();
            assert_eq!(check(&image, sections, &symbols), Ok(()), "{path}");
        }
    }
}
