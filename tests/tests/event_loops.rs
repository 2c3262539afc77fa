//! The conformance suite on each kind of loop that we have: the built-in one, the same out of a `.so`, and those of the
//! plugins that bring their own. In one process and in the main thread, so that a debugger and the sanitizers see all of it;
//! `plugin_check.rs` runs the same cases in processes of their own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{env, process::ExitCode};

use loophost::{Options, plugin, testing::HostHarness};
use loophost_testkit::{Case, Subject};
use loophost_tests::{c_plugin, cdylib, loop_plugins, suite, trust};

/// What else is tried of a plugin, if it is there.
const OPTIONS: [(&str, &str, &str); 4] = [
    // Full all the time.
    ("uring", "entries", "1"),
    ("uring", "single-issuer", "yes"),
    ("uring", "sqpoll", "10"),
    ("uring", "wait", "waitid"),
];

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
    let mut files = vec![("selector-policy", cdylib("selector-policy"))];
    files.extend(loop_plugins().into_iter().map(|plugin| (plugin.name, plugin.file)));
    // In C, and all it does is to forward each call to the built-in loop and back.
    files.extend(
        c_plugin("tests/c-fixtures/forwarding.c", "forwarding", &[]).map(|file| ("forwarding", file)),
    );
    for (name, file) in files {
        let plugin = plugin::load(&file, &trust()).unwrap();
        let mut check = |name: &str, options: &Options| {
            let make = || Ok(plugin.new_policy(None, options, Some(harness.default_policy())).unwrap());
            failed += suite::check(name, &harness, &Subject::Policy(&make), is_wanted);
        };
        check(name, &Options::new());
        for (_, key, value) in OPTIONS.into_iter().filter(|(plugin, ..)| *plugin == name) {
            let mut options = Options::new();
            options.push(key, value);
            check(&format!("{name} {key}={value}"), &options);
        }
    }
    println!("{failed} cases failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(101) }
}
