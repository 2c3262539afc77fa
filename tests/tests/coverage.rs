//! The suite's tables of what it covers are complete, and name cases and tests that there are.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{collections::HashSet, fs};

use loophost_tests::workspace;

const TABLES: &str = include_str!("../../plugin-api/testkit/COVERAGE.md");

/// What stands in backquotes in the rows of the tables.
fn named() -> impl Iterator<Item = &'static str> {
    let rows = TABLES.lines().filter(|line| line.starts_with("| "));
    rows.flat_map(|row| row.split('`').skip(1).step_by(2))
}

#[test]
fn every_case_and_test_that_is_named_exists() {
    let cases: HashSet<_> = loophost_testkit::cases().map(|case| case.name()).collect();
    let mut shown = 0;
    for name in named() {
        if let Some((file, function)) = name.split_once("::") {
            let source =
                fs::read_to_string(workspace().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert!(source.contains(&format!("fn {function}(")), "{file} has no {function}");
        } else if name.contains('/') {
            assert!(cases.contains(name), "there is no case {name}");
        } else {
            continue;
        }
        shown += 1;
    }
    assert!(shown > 100, "only {shown} names: the tables are not where they were");
}

/// A row of prose alone says why; one that only promises is none.
#[test]
fn every_row_says_what_shows_it_or_why_not() {
    let is_row = |line: &&str| line.starts_with("| ") && !line.ends_with("does not apply |");
    for row in TABLES.lines().filter(is_row) {
        let cells: Vec<_> = row.split(" | ").collect();
        assert!(cells.len() == 2 && cells[1].trim_end_matches(" |").len() > 3, "{row}");
    }
}

#[test]
fn no_row_of_the_watchers_is_missing() {
    let quirks = (1..=9).map(|n| format!("Q{n}"));
    let rows = [
        "Mechanism",
        "attach_loop(l)",
        "attach from a non-main thread",
        "attach closed loop",
        "is_active",
        "add: already-dead child",
        "add: unknown / reaped pid",
        "add: no running loop",
        "add: not in context manager",
        "add: pid <= 0",
        "add: same pid twice",
        "remove(pid)",
        "cb runs in",
        "cb raises",
        "target loop closed before exit",
        "close()",
        "destruction",
        "other children in process",
        "loops in other threads",
    ];
    for row in quirks.chain(rows.map(str::to_owned)) {
        assert!(TABLES.contains(&format!("\n| {row} | ")), "there is no row {row}");
    }
}
