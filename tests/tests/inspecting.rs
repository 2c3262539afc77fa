//! Reading plugin files without running them, also when they are garbage.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
};

use loophost::{
    Descriptor, OfferKind,
    plugin::{LoadError, inspect},
};
use loophost_tests::{
    c_plugin, cdylib, loophost,
    plugin_file::{folder, offer},
    run,
};
use tempfile::TempDir;

const GOOD: &str = "loophost-fixture-good";

#[test]
fn a_plugin_describes_itself() {
    let inspected = inspect(&cdylib(GOOD)).unwrap();
    inspected.check().unwrap();
    assert_eq!(inspected.metadata.name, "good");
    let offers: Vec<_> = inspected.metadata.offers.iter().map(|offer| (offer.kind, &*offer.name)).collect();
    let expected =
        [(OfferKind::Policy, "plain"), (OfferKind::Policy, "strict"), (OfferKind::Watcher, "named")];
    assert_eq!(offers, expected);
    assert_eq!(inspected.metadata.offers[1].options[0].key, "why");
}

#[test]
fn a_plugin_of_another_abi_can_be_inspected_and_not_used() {
    for package in ["loophost-fixture-abi-minor", "loophost-fixture-abi-major", "loophost-fixture-runs-early"]
    {
        let inspected = inspect(&cdylib(package)).unwrap();
        assert!(package.ends_with(&inspected.metadata.name), "{package}");
        assert!(matches!(inspected.check(), Err(LoadError::Abi { .. })));
    }
}

#[test]
fn a_longer_descriptor_is_read_whole() {
    let Some(file) = c_plugin("tests/c-fixtures/long_descriptor.c", "long-descriptor", &[]) else { return };
    let inspected = inspect(&file).unwrap();
    inspected.check().unwrap();
    let metadata = &inspected.metadata;
    assert_eq!((&*metadata.name, &*metadata.offers[0].name), ("long", "last"));
    assert!(metadata.summary.len() > Descriptor::METADATA_ROOM);
}

/// A sequence of numbers that is the same in every run (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit
    }
}

#[test]
fn garbage_is_refused_and_never_panics() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("libgarbage.so");
    let whole = fs::read(cdylib(GOOD)).unwrap();
    fs::write(&path, &whole).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    let size = whole.len() as u64;
    // Where a wrong byte tells: the headers at both ends, the tables that follow the first, the descriptor.
    let size_field = (size_of::<Descriptor>() as u32).to_le_bytes();
    let mark: Vec<u8> = Descriptor::MAGIC.into_iter().chain(size_field).collect();
    let descriptor = whole.windows(mark.len()).position(|window| window == mark).unwrap() as u64;
    let sections = u64::from_le_bytes(whole[0x28..0x30].try_into().unwrap());
    let regions =
        [(0, 64), (64, 2048), (2048, 8192), (descriptor, 256), (sections, size - sections), (0, size)];
    let mut numbers = Numbers(0x1005_4057);
    for (start, length) in regions {
        for _ in 0..500 {
            let flips: Vec<u64> = (0..=numbers.below(3)).map(|_| start + numbers.below(length)).collect();
            for at in &flips {
                file.write_all_at(&[numbers.below(256) as u8], *at).unwrap();
            }
            // Either answer is fine, and so is a version that fits or not; it must be an answer.
            if let Ok(inspected) = inspect(&path) {
                let _ = inspected.check();
            }
            for at in &flips {
                file.write_all_at(&whole[*at as usize..][..1], *at).unwrap();
            }
        }
    }
    inspect(&path).unwrap();
    let mut length = size;
    while length > 0 {
        length -= (1 + numbers.below(size / 200)).min(length);
        file.set_len(length).unwrap();
        inspect(&path).unwrap_err();
    }
}

/// Bytes that are wrong in the headers, the dynamic table or the descriptor of a plugin that is then loaded: it works all
/// the same, or is refused, but never ends the process. What lies in code, data or relocations cannot be checked.
#[test]
fn a_damaged_plugin_is_loaded_or_refused_and_never_fatal() {
    let (_folder, folder) = folder();
    let path = folder.join("libdamaged.so");
    let whole = fs::read(cdylib(GOOD)).unwrap();
    let word = |at: usize| u64::from_le_bytes(whole[at..at + 8].try_into().unwrap());
    let segments = word(32);
    let count = u64::from(whole[56]);
    let dynamic = (0..count).map(|n| (segments + 56 * n) as usize).find(|at| whole[*at] == 2).unwrap();
    let size_field = (size_of::<Descriptor>() as u32).to_le_bytes();
    let mark: Vec<u8> = Descriptor::MAGIC.into_iter().chain(size_field).collect();
    let descriptor = whole.windows(mark.len()).position(|window| window == mark).unwrap() as u64;
    let regions =
        [(0, 64), (segments, 56 * count), (word(dynamic + 8), word(dynamic + 32)), (descriptor, 128)];
    let mut numbers = Numbers(0xe1f);
    for (start, length) in regions {
        for _ in 0..60 {
            let mut damaged = whole.clone();
            for _ in 0..=numbers.below(2) {
                damaged[(start + numbers.below(length)) as usize] = numbers.below(256) as u8;
            }
            fs::write(&path, damaged).unwrap();
            let ended = run(loophost(["run", "--explain", "--policy", &offer(&path, "plain")]));
            assert!([0, 125].contains(&ended.code()), "{ended:?}");
            assert!(ended.stderr.lines().count() <= 3, "{ended:?}");
        }
    }
}
