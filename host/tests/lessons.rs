//! The table of lessons is complete, and names tests that there are.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{fs, path::Path};

const TABLE: &str = include_str!("../src/builtin/watchers/LESSONS.md");

#[test]
fn every_lesson_has_a_row_and_every_named_test_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let rows: Vec<_> = TABLE.lines().filter(|line| line.starts_with("| R")).collect();
    let numbers = rows.iter().map(|row| row.split('|').nth(1).unwrap().trim().to_owned());
    assert_eq!(numbers.collect::<Vec<_>>(), (1..=31).map(|n| format!("R{n}")).collect::<Vec<_>>());
    for row in rows {
        let shown = row.split('`').skip(1).step_by(2).filter_map(|code| code.split_once("::"));
        for (file, function) in shown {
            let source =
                fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert!(source.contains(&format!("fn {function}(")), "{file} has no {function}");
        }
    }
}
