//! The table of dynamic symbols, with its names.

use std::collections::HashSet;

use object::{
    LittleEndian as Little,
    elf::{self, SymbolType},
    read::{
        StringTable,
        elf::{ProgramHeader, SectionHeader, Sym},
    },
};

use super::{
    Flaw,
    agreement::{Section, place},
    hash::Hash,
    image::{Image, contains},
};

type Symbol = elf::Sym64<Little>;

pub(super) struct Symbols<'data> {
    entries: &'data [Symbol],
    names: StringTable<'data>,
    hash: Hash<'data>,
}

impl<'data> Symbols<'data> {
    /// The symbols of a file, if it has any.
    pub(super) fn read(image: &Image<'data>) -> Result<Option<Self>, Flaw> {
        let (Some(entries), Some(names)) =
            (image.value(elf::DT_SYMTAB), image.range(elf::DT_STRTAB, elf::DT_STRSZ))
        else {
            return Ok(None);
        };
        let hash = Hash::read(image).ok_or(Flaw::Damaged("the hash table of its symbols leads astray"))?;
        let entries = image.table(entries, hash.symbols.into());
        let names = image.table(names.start, names.end - names.start);
        let (Some(entries), Some(names)) = (entries, names) else {
            return Err(Flaw::Damaged("its symbols are not where its dynamic table says"));
        };
        let names = StringTable::new(names, 0, names.len() as u64);
        Ok(Some(Self { entries, names, hash }))
    }

    /// A name, by its offset in the table of names.
    pub(super) fn text(&self, offset: u32) -> Option<&'data [u8]> {
        self.names.get(offset).ok()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &'data Symbol> {
        self.entries.iter()
    }

    pub(super) fn get(&self, index: u32) -> Option<&'data Symbol> {
        self.entries.get(index as usize)
    }

    pub(super) fn count(&self) -> u64 {
        self.entries.len() as u64
    }

    /// What the loader would find by this name.
    pub(super) fn find(&self, name: &str) -> Option<&'data Symbol> {
        let name_of = |symbol: &&Symbol| self.text(symbol.st_name(Little)) == Some(name.as_bytes());
        self.iter().find(name_of).filter(|symbol| !symbol.is_undefined(Little))
    }

    /// Whether every symbol means something, and the loader finds each that it looks for here.
    pub(super) fn are_sound(&self, image: &Image<'data>, sections: &[Section]) -> bool {
        let Some((first, rest)) = self.entries.split_first() else { return false };
        let names = |index: u32| self.text(self.get(index)?.st_name(Little));
        let mut tables = sections.iter().filter(|section| section.sh_type(Little) == elf::SHT_DYNSYM);
        let mut globals = rest.iter().skip_while(|symbol| is_local(symbol));
        // The first one stands for no symbol at all.
        object::bytes_of(first).iter().all(|byte| *byte == 0)
            && tables.all(|table| table.sh_size(Little) == size_of_val(self.entries) as u64)
            && rest.iter().all(|symbol| {
                self.text(symbol.st_name(Little)).is_some()
                    && if symbol.is_undefined(Little) {
                        is_sound_reference(symbol)
                    } else {
                        is_sound_definition(symbol, image, sections)
                    }
            })
            && globals.all(|symbol| !is_local(symbol))
            && self.names_are_told_apart(rest, image)
            && self.hash.leads_to(names)
    }

    /// A linker asks for a name once, and not if the library has it itself, unless that is another version: libattr wraps
    /// functions of libc so.
    fn names_are_told_apart(&self, symbols: &[Symbol], image: &Image<'_>) -> bool {
        let has_versions = image.value(elf::DT_VERDEF).is_some();
        let (needed, defined): (Vec<&Symbol>, Vec<&Symbol>) =
            symbols.iter().partition(|symbol| symbol.is_undefined(Little));
        let defined = defined.iter().filter(|_| !has_versions);
        let mut names: HashSet<_> = defined.map(|symbol| self.text(symbol.st_name(Little))).collect();
        needed.iter().all(|symbol| names.insert(self.text(symbol.st_name(Little))))
    }
}

fn is_local(symbol: &Symbol) -> bool {
    symbol.st_bind() == elf::STB_LOCAL
}

/// One that another library must have. Were it local or hidden, the loader would take it for an address in this one.
fn is_sound_reference(symbol: &Symbol) -> bool {
    [elf::STB_GLOBAL, elf::STB_WEAK].contains(&symbol.st_bind()) && symbol.st_visibility() == elf::STV_DEFAULT
}

/// One that this library has: all of it lies in the section that it names, and if it can be called, that is code.
fn is_sound_definition(symbol: &Symbol, image: &Image<'_>, sections: &[Section]) -> bool {
    const CALLED: [SymbolType; 2] = [elf::STT_FUNC, elf::STT_GNU_IFUNC];
    let (section, kind) = (symbol.st_shndx(Little), symbol.st_type());
    let value = symbol.st_value(Little);
    let all = value..value.saturating_add(symbol.st_size(Little));
    if section == elf::SHN_ABS {
        // The name of a version is such a symbol. Nothing may be read there.
        return all.is_empty() && [elf::STT_NOTYPE, elf::STT_OBJECT].contains(&kind);
    }
    if all.is_empty() && kind == elf::STT_NOTYPE {
        // A mark, such as `__bss_start`, may lie between two sections.
        return image.is_loaded(&all);
    }
    let Some(section) = sections.get(usize::from(section.0)).filter(|_| !section.is_special()) else {
        return false;
    };
    let is_thread_local = section.sh_flags(Little).contains(elf::SHF_TLS);
    // The value of a thread-local one counts from the start of their segment.
    let mut starts = image.segments_of(elf::PT_TLS).map(|segment| segment.p_vaddr(Little));
    let start = if is_thread_local { starts.next().unwrap_or(0) } else { 0 };
    let all = start.saturating_add(all.start)..start.saturating_add(all.end);
    contains(&place(section), &all)
        && (kind == elf::STT_TLS) == is_thread_local
        && (!CALLED.contains(&kind) || image.is_code(value))
}
