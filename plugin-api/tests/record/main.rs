//! What the ABI is, beside the record of its version in `abi/`, and what a minor has changed of the records before it.
//!
//! `UPDATE_EXPECT=1 cargo test -p loophost-plugin-api --test record` writes the record of a new minor, and never one that is
//! there.

// Sizes are those of 64 bits.
#![cfg(target_pointer_width = "64")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod c;
mod growth;
mod rust;

use std::{env, fs, path::PathBuf};

use loophost_plugin_api::{ABI_MAJOR, ABI_MINOR};

/// Where the record of a version is.
fn place(minor: u32, language: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("abi/{ABI_MAJOR}.{minor}-{language}.txt"))
}

#[test]
fn the_abi_is_as_its_record_says() {
    let is_updated = env::var_os("UPDATE_EXPECT").is_some();
    for (language, now) in [("rust", rust::record()), ("c", c::record())] {
        let place = place(ABI_MINOR, language);
        let stays = !is_updated || !place.exists() || fs::read_to_string(&place).unwrap() == now;
        assert!(stays, "{} stays: what is not in it belongs into the next minor", place.display());
        expect_test::expect_file![place].assert_eq(&now);
    }
}

#[test]
fn a_minor_only_adds() {
    for minor in (0..).take_while(|minor| *minor != ABI_MINOR) {
        for (language, now) in [("rust", rust::record()), ("c", c::record())] {
            let before = fs::read_to_string(place(minor, language)).unwrap();
            assert_eq!(growth::broken(&before, &now), [""; 0], "since {ABI_MAJOR}.{minor}");
        }
    }
}
