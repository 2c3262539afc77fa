//! Plugin files with one wrong field in the tables that the system's loader works by, which checks nothing itself.
//!
//! Whatever the field: the file is refused, or what loads it fails with a message or works. Wrong relocations, code and
//! data are not tried; nobody can tell them from right ones.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{env, fs::File, os::unix::fs::FileExt, path::Path, thread};

use loophost::plugin::inspect;
use loophost_tests::{
    loophost,
    plugin_file::{copy, folder},
    run,
};
use object::{
    LittleEndian as Little, ReadCache, elf,
    read::elf::{FileHeader, SectionHeader},
};

/// A table: where it begins, its size, and the widths of the fields of an entry.
struct Table {
    name: &'static str,
    start: u64,
    size: u64,
    fields: &'static [u8],
}

/// A field with another value.
struct Change {
    table: &'static str,
    at: u64,
    width: u8,
    was: u64,
    becomes: u64,
}

const HEADER: [u8; 15] = [8, 8, 2, 2, 4, 8, 8, 8, 4, 2, 2, 2, 2, 2, 2];
const SEGMENTS: [u8; 8] = [4, 4, 8, 8, 8, 8, 8, 8];
const DYNAMIC: [u8; 2] = [8, 8];
/// Tags whose value is the address of a function, and may be that of any.
const IS_CODE: [u64; 2] = [elf::DT_INIT.0 as u64, elf::DT_FINI.0 as u64];
const SYMBOLS: [u8; 6] = [4, 1, 1, 2, 8, 8];
const NUMBERS: [u8; 1] = [2];
/// An entry of this table has two fields of two bytes, here or there; this is the smaller.
const VERSIONS: [u8; 1] = [2];
const HASHES: [u8; 1] = [4];

fn tables(file: &File) -> Vec<Table> {
    let cache = ReadCache::new(file);
    let header = elf::FileHeader64::<Little>::parse(&cache).unwrap();
    let segments = u64::from(header.e_phnum(Little)) * 56;
    let mut tables = vec![
        Table { name: "header", start: 0, size: 64, fields: &HEADER },
        Table { name: "segments", start: header.e_phoff(Little), size: segments, fields: &SEGMENTS },
    ];
    for section in header.section_headers(Little, &cache).unwrap() {
        let (name, fields): (_, &[u8]) = match section.sh_type(Little) {
            elf::SHT_DYNAMIC => ("dynamic", &DYNAMIC),
            elf::SHT_DYNSYM => ("symbols", &SYMBOLS),
            elf::SHT_GNU_VERSYM => ("numbers of versions", &NUMBERS),
            elf::SHT_GNU_VERNEED => ("needed versions", &VERSIONS),
            elf::SHT_GNU_VERDEF => ("defined versions", &VERSIONS),
            elf::SHT_GNU_HASH => ("hashes", &HASHES),
            elf::SHT_HASH => ("old hashes", &HASHES),
            _ => continue,
        };
        let (start, size) = (section.sh_offset(Little), section.sh_size(Little));
        tables.push(Table { name, start, size, fields });
    }
    tables
}

impl Table {
    /// Each field with each value that may be special.
    fn changes(&self, file: &File) -> Vec<Change> {
        let mut changes = Vec::new();
        let (mut at, mut before) = (self.start, 0);
        for width in self.fields.iter().cycle() {
            let mut bytes = [0; 8];
            if at + u64::from(*width) > self.start + self.size {
                return changes;
            }
            file.read_exact_at(&mut bytes[..usize::from(*width)], at).unwrap();
            let (was, max) = (u64::from_le_bytes(bytes), u64::MAX >> (64 - 8 * width));
            let page = 1 << 12;
            let mut values = vec![0, 1, max, max >> 1];
            if !(self.name == "dynamic" && IS_CODE.contains(&before)) {
                values.extend([was.wrapping_add(1) & max, was.wrapping_sub(1) & max]);
                // A symbol's name would become that of another function, which is there and called.
                if self.name != "symbols" || *width != SYMBOLS[0] {
                    values.extend([was ^ 0x80, was.wrapping_add(page) & max, was.wrapping_sub(page) & max]);
                }
            }
            values.retain(|value| *value != was);
            let change = |becomes| Change { table: self.name, at, width: *width, was, becomes };
            changes.extend(values.into_iter().map(change));
            at += u64::from(*width);
            before = was;
        }
        changes
    }
}

impl Change {
    /// Makes the change, and takes it back when it was tried.
    fn attempt(&self, path: &Path, file: &File) {
        let write = |value: u64| {
            file.write_all_at(&value.to_le_bytes()[..usize::from(self.width)], self.at).unwrap();
        };
        write(self.becomes);
        if inspect(path).is_ok() {
            let ended = run(loophost([
                "run".as_ref(),
                "--policy".as_ref(),
                path.as_os_str(),
                "--".as_ref(),
                "true".as_ref(),
            ]));
            let Self { table, at, was, becomes, .. } = self;
            assert!(
                matches!(ended.status.code(), Some(0 | 125)),
                "{table}, {at:#x}: {becomes:#x} instead of {was:#x}: {ended:?}"
            );
        }
        write(self.was);
    }
}

#[test]
fn a_wrong_field_never_ends_the_process() {
    const THREADS: usize = 2;
    // Enough to meet every kind of field, in a few seconds.
    let each = if env::var_os("LOOPHOST_FULL").is_some() { usize::MAX } else { 70 };
    thread::scope(|scope| {
        for number in 0..THREADS {
            scope.spawn(move || {
                let (_folder, folder) = folder();
                let path = copy("loophost-poll", &folder);
                let file = File::options().read(true).write(true).open(&path).unwrap();
                for table in tables(&file) {
                    let changes = table.changes(&file);
                    let step = changes.len().div_ceil(each).max(1);
                    for change in changes.iter().step_by(step).skip(number).step_by(THREADS) {
                        change.attempt(&path, &file);
                    }
                }
                inspect(&path).unwrap();
            });
        }
    });
}
