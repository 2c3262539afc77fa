//! The conformance suite on each kind of loop that we have: the built-in one, the same out of a `.so`, and those of the
//! plugins `poll` and `uring`. In one process and in the main thread, so that a debugger and the sanitizers see all of it;
//! `plugin_check.rs` runs the same cases in processes of their own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{env, process::ExitCode};

use loophost::{Options, plugin, testing::HostHarness};
use loophost_testkit::{Case, Subject};
use loophost_tests::{io_uring_works, suite};

/// The plugins, besides what is built in, each with an option or none.
const PLUGINS: [(&str, Option<(&str, &str)>); 7] = [
    ("selector-policy", None),
    ("loophost-poll", None),
    (URING, None),
    // Full all the time.
    (URING, Some(("entries", "1"))),
    (URING, Some(("single-issuer", "yes"))),
    (URING, Some(("sqpoll", "10"))),
    (URING, Some(("wait", "waitid"))),
];
const URING: &str = "loophost-uring";

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
    for (package, option) in PLUGINS {
        if package == URING && !io_uring_works() {
            continue;
        }
        let plugin = plugin::load(&loophost_tests::cdylib(package), &loophost_tests::trust()).unwrap();
        let (mut name, mut options) = (package.to_owned(), Options::new());
        if let Some((key, value)) = option {
            options.push(key, value);
            name = format!("{package} {key}={value}");
        }
        let make = || Ok(plugin.new_policy(None, &options, Some(harness.default_policy())).unwrap());
        failed += suite::check(&name, &harness, &Subject::Policy(&make), is_wanted);
    }
    println!("{failed} cases failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(101) }
}
