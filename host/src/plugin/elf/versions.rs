//! The versions of symbols: which ones the library needs of others, and which ones it has itself.
//!
//! The loader makes an array of all versions and takes each symbol's number for an index in it.

use std::collections::HashSet;

use object::{LittleEndian as Little, Pod, ReadRef, elf, read::elf::Sym};

use super::{image::Image, symbols::Symbols};

type Needed = elf::Verneed<Little>;
type NeededVersion = elf::Vernaux<Little>;
type Defined = elf::Verdef<Little>;
type DefinedName = elf::Verdaux<Little>;

/// Whether the tables of versions can be followed, and each symbol has one of those in them.
pub(super) fn are_sound<'data>(image: &Image<'data>, symbols: &Symbols<'data>) -> bool {
    let (Some(needed), Some(defined)) = (needed(image, symbols), defined(image, symbols)) else {
        return false;
    };
    let Some(numbers) = image.value(elf::DT_VERSYM) else { return needed.is_empty() && defined.is_empty() };
    let Some(numbers) = image.table::<elf::Versym<Little>>(numbers, symbols.count()) else {
        return false;
    };
    symbols.iter().zip(numbers).all(|(symbol, number)| {
        let index = number.0.get(Little).index();
        let known = if symbol.is_undefined(Little) { &needed } else { &defined };
        index.is_special() || known.contains(&index.0)
    })
}

/// The numbers of the versions that others must have. `None` if the table makes no sense.
fn needed<'data>(image: &Image<'data>, symbols: &Symbols<'data>) -> Option<HashSet<u16>> {
    let mut numbers = HashSet::new();
    let Some(start) = image.value(elf::DT_VERNEED) else { return Some(numbers) };
    let name = |offset| symbols.text(u32::try_from(offset).ok()?);
    let names = image.entries().filter(|(tag, _)| *tag == elf::DT_NEEDED);
    let libraries: HashSet<_> = names.filter_map(|(_, offset)| name(offset)).collect();
    let files: Vec<(_, &Needed)> =
        chain(image.bytes_from(start)?, |file: &Needed| file.vn_next.get(Little)).collect::<Option<_>>()?;
    for (bytes, file) in &files {
        // glibc ends the process if it has not loaded a library of this name.
        if !libraries.contains(symbols.text(file.vn_file.get(Little))?) {
            return None;
        }
        let versions = bytes.get(file.vn_aux.get(Little) as usize..)?;
        let versions = chain(versions, |version: &NeededVersion| version.vna_next.get(Little));
        let versions: Vec<_> = versions.collect::<Option<_>>()?;
        for (_, version) in &versions {
            let index = version.vna_other(Little).index();
            let hash = elf::hash(symbols.text(version.vna_name.get(Little))?);
            if hash != version.vna_hash.get(Little) || index.is_special() || !numbers.insert(index.0) {
                return None;
            }
        }
        if versions.len() != usize::from(file.vn_cnt.get(Little)) {
            return None;
        }
    }
    image.value(elf::DT_VERNEEDNUM).is_none_or(|count| count == files.len() as u64).then_some(numbers)
}

/// The numbers of the versions that the library itself has. `None` if the table makes no sense.
fn defined<'data>(image: &Image<'data>, symbols: &Symbols<'data>) -> Option<HashSet<u16>> {
    let mut numbers = HashSet::new();
    let Some(start) = image.value(elf::DT_VERDEF) else { return Some(numbers) };
    let versions: Vec<(_, &Defined)> =
        chain(image.bytes_from(start)?, |version: &Defined| version.vd_next.get(Little))
            .collect::<Option<_>>()?;
    for (bytes, version) in &versions {
        let names = bytes.get(version.vd_aux.get(Little) as usize..)?;
        let names: Vec<(_, &DefinedName)> =
            chain(names, |name: &DefinedName| name.vda_next.get(Little)).collect::<Option<_>>()?;
        let hashes: Option<Vec<_>> =
            names.iter().map(|(_, name)| Some(elf::hash(symbols.text(name.vda_name.get(Little))?))).collect();
        // The first name is the version's own, the others are those that it comes after.
        if *hashes?.first()? != version.vd_hash.get(Little)
            || names.len() != usize::from(version.vd_cnt.get(Little))
            || !numbers.insert(version.vd_ndx.get(Little).0)
        {
            return None;
        }
    }
    image.value(elf::DT_VERDEFNUM).is_none_or(|count| count == versions.len() as u64).then_some(numbers)
}

/// The entries of a list in which each says how far away the next one is, 0 for none, with the bytes from each on.
/// `None` stands for one that is not there. It ends: nothing ever leads back.
fn chain<T: Pod>(bytes: &[u8], next: impl Fn(&T) -> u32) -> impl Iterator<Item = Option<(&[u8], &T)>> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let entry = bytes.read_at::<T>(0).ok();
        rest = match entry.map(&next) {
            None | Some(0) => None,
            // Beyond the end there is no entry, which the next turn finds.
            Some(distance) => Some(bytes.get(distance as usize..).unwrap_or_default()),
        };
        Some(entry.map(|entry| (bytes, entry)))
    })
}
