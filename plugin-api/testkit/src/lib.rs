//! The conformance suite of loophost: what every policy, event loop, child watcher and plugin file must do.
//!
//! Each [`Case`] has a stable name, such as `watcher/replaces-handler`, and a meaning of one line. It runs in this process,
//! in the calling thread, on a [`Subject`]: whatever makes a policy, a loop or a watcher, out of a plugin file or not.
//! Processes, signals and a look at the system come through a [`Harness`], which the library `loophost` implements.
//!
//! `loophost plugin check` runs the same cases on a file, each in a process of its own, so that there a crash or a hang is a
//! result too. In an author's `cargo test` they run on the author's types; `examples/limited-policy` in loophost's
//! repository does it, with the harness `loophost::testing::HostHarness`:
//!
//! ```
//! use loophost_plugin_api::{Error, PolicyHandle};
//! use loophost_testkit::{Harness, Outcome, Subject, cases};
//!
//! fn conforms(harness: &dyn Harness, make: &dyn Fn() -> Result<PolicyHandle, Error>) {
//!     let subject = Subject::Policy(make);
//!     for case in cases().filter(|case| case.suits(&subject)) {
//!         if let Outcome::Failed(message) = case.run(harness, &subject) {
//!             panic!("{} ({}): {message}", case.name(), case.meaning());
//!         }
//!     }
//! }
//! ```
//!
//! Some cases look at the whole process, its threads and descriptors, and a few are about the main thread: run them one
//! after the other, in one test. Where they say nothing they are skipped, with the reason.
//!
//! # What the cases are
//! Those of asyncio's own tests, each with its name there, the rows of its watchers' semantics with loophost's deliberate
//! differences, and what the ABI promises: thread rule, ends of life, nothing held while foreign code runs.
//!
//! # Waiting
//! Nothing sleeps and nothing is measured against a clock: a case waits for a condition, at most
//! [`Harness::patience`], and then fails with a message that says for what.

#![deny(unsafe_code)]

mod case;
mod child_watcher;
mod event_loop;
mod exits;
mod harness;
mod offer;
mod plugin;
mod policy;
mod record;
mod signal_number;
mod spy;
mod subject;
mod subprocess;
mod test_loop;
mod test_watcher;
mod verdict;

pub use case::Case;
pub use harness::{Child, Disturbance, Harness, Processes, Program, SystemState};
pub use offer::MADE;
pub use plugin::LOADS;
pub use subject::{Make, PluginFile, Subject};
pub use verdict::Outcome;
pub(crate) use verdict::Verdict;

/// All cases, by subject.
pub fn cases() -> impl Iterator<Item = &'static Case> {
    [plugin::CASES, offer::CASES]
        .into_iter()
        .chain(event_loop::cases())
        .chain(child_watcher::cases())
        .chain(policy::cases())
        .chain([subprocess::CASES])
        .flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_meanings_are_lines() {
        let mut names = HashSet::new();
        for case in cases() {
            let (name, meaning) = (case.name(), case.meaning());
            assert!(names.insert(name), "{name} twice");
            let (subject, what) = name.split_once('/').unwrap_or_default();
            assert!(["plugin", "loop", "watcher", "policy", "subprocess"].contains(&subject), "{name}");
            assert!(what.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{name}");
            assert!((10..=110).contains(&meaning.len()) && !meaning.ends_with('.'), "{name}: {meaning}");
        }
    }
}
