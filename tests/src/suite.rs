//! The conformance suite in this process.

use loophost::testing::HostHarness;
use loophost_testkit::{Case, Outcome, Subject, cases};

/// Runs the cases that suit a subject and are wanted, and prints what comes of each; how many have failed.
pub fn check(
    name: &str,
    harness: &HostHarness,
    subject: &Subject<'_>,
    is_wanted: impl Fn(&Case) -> bool,
) -> usize {
    let mut failed = 0;
    for case in cases().filter(|case| case.suits(subject) && is_wanted(case)) {
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
