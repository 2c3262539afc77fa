//! The conformance suite on each kind of loop that we have: the built-in one, the same out of a `.so`, and those of the
//! plugins `poll` and `libuv`. In one process and in the main thread, so that a debugger and the sanitizers see all of it;
//! `plugin_check.rs` runs the same cases in processes of their own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{env, process::ExitCode};

use loophost::{ErrorCode, LoopHandle, Op, OpCode, Options, RepeatCallback, plugin, testing::HostHarness};
use loophost_testkit::{Outcome, Subject, cases};
use loophost_tests::can_run;

/// The plugins, besides what is built in.
const PLUGINS: [&str; 3] = ["selector-policy", "loophost-poll", "loophost-libuv"];

/// Arguments that are no flags pick cases by parts of their names, as with the usual harness.
fn main() -> ExitCode {
    let (flags, wanted): (Vec<_>, Vec<_>) = env::args().skip(1).partition(|arg| arg.starts_with('-'));
    if flags.iter().any(|flag| flag == "--list") {
        return ExitCode::SUCCESS;
    }
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    let harness = HostHarness::new();
    let mut failed =
        check("built in", &harness, &Subject::Policy(&|| Ok(harness.default_policy())), &is_wanted);
    for package in PLUGINS.into_iter().filter(|package| can_run(package)) {
        let plugin = plugin::load(&loophost_tests::cdylib(package), &loophost_tests::trust()).unwrap();
        let make = || Ok(plugin.new_policy(None, &Options::new(), Some(harness.default_policy())).unwrap());
        failed += check(package, &harness, &Subject::Policy(&make), &is_wanted);
        submit_is_not_supported(&make().unwrap().new_event_loop().unwrap());
    }
    submit_is_not_supported(&harness.default_policy().new_event_loop().unwrap());
    println!("{failed} cases failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

/// How many cases have failed.
fn check(
    name: &str,
    harness: &HostHarness,
    subject: &Subject<'_>,
    is_wanted: &dyn Fn(&str) -> bool,
) -> usize {
    let mut failed = 0;
    for case in cases().filter(|case| case.suits(subject) && is_wanted(case.name())) {
        match case.run(harness, subject) {
            Outcome::Passed => println!("test {name} {} ... ok", case.name()),
            Outcome::Skipped(reason) => println!("test {name} {} ... ignored, {reason}", case.name()),
            Outcome::Failed(message) => {
                println!("test {name} {} ... FAILED\n    {}: {message}", case.name(), case.meaning());
                failed += 1;
            }
        }
    }
    failed
}

/// Not in the suite, which has no unsafe code.
fn submit_is_not_supported(event_loop: &LoopHandle) {
    // SAFETY: the operation points to nothing.
    let submitted = unsafe { event_loop.submit(&Op::new(OpCode(0), -1), RepeatCallback::new(|_| Ok(()))) };
    assert_eq!(submitted.unwrap_err().code(), ErrorCode::NOT_SUPPORTED);
    event_loop.close().unwrap();
}
