//! The conformance suite on each kind of loop that we have: the built-in one, the same out of a `.so`, and that of the
//! plugin `poll`. In one process and in the main thread, so that a debugger and the sanitizers see all of it;
//! `plugin_check.rs` runs the same cases in processes of their own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{env, process::ExitCode};

use loophost::{Options, plugin, testing::HostHarness};
use loophost_testkit::{Case, Subject};
use loophost_tests::suite;

/// The plugins, besides what is built in.
const PLUGINS: [&str; 3] = ["selector-policy", "loophost-poll", "loophost-uring"];

/// Arguments that are no flags pick cases by parts of their names, as with the usual harness.
fn main() -> ExitCode {
    let (flags, wanted): (Vec<_>, Vec<_>) = env::args().skip(1).partition(|arg| arg.starts_with('-'));
    if flags.iter().any(|flag| flag == "--list") {
        return ExitCode::SUCCESS;
    }
    let is_wanted =
        |case: &Case| wanted.is_empty() || wanted.iter().any(|part| case.name().contains(part.as_str()));
    let harness = HostHarness::new();
    let mut failed =
        suite::check("built in", &harness, &Subject::Policy(&|| Ok(harness.default_policy())), is_wanted);
    for package in PLUGINS {
        let plugin = plugin::load(&loophost_tests::cdylib(package), &loophost_tests::trust()).unwrap();
        let make = || Ok(plugin.new_policy(None, &Options::new(), Some(harness.default_policy())).unwrap());
        failed += suite::check(package, &harness, &Subject::Policy(&make), is_wanted);
    }
    println!("{failed} cases failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(101) }
}
