//! The scenarios by name, as `tests/differential/scenarios` has them.

use loophost::policy::{self, Profile};

use crate::{child_watchers, descriptors, event_loop, exceptions, policy as policies, processes, signals};

/// Functions and their names.
pub(crate) type Scenarios = &'static [(&'static str, fn())];
/// The same, of functions that get the name of a watcher.
pub(crate) type WatcherScenarios = &'static [(&'static str, fn(&str))];

/// What runs under a name.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    /// It needs no watcher, or uses the default one of its profile.
    Plain(fn()),
    /// One for each watcher: `name/watcher`.
    OnWatcher(fn(&str), &'static str),
}

/// Longer than a scenario takes on the busiest machine.
const SECONDS: u32 = 120;

/// The watchers, by the names of the built-in ones.
const WATCHERS: [&str; 5] = ["safe", "fast", "multi-loop", "threaded", "pidfd"];

/// Names functions for a list of scenarios.
macro_rules! named {
    ($($function:ident),* $(,)?) => { &[$((stringify!($function), $function)),*] };
}
pub(crate) use named;

/// All scenarios.
pub(crate) fn all() -> Vec<(String, Run)> {
    let kebab = |name: &str| name.replace('_', "-");
    let plain = [
        policies::PLAIN,
        event_loop::PLAIN,
        descriptors::PLAIN,
        signals::PLAIN,
        exceptions::PLAIN,
        child_watchers::PLAIN,
        processes::PLAIN,
        policies::ON_DEFAULT_WATCHER,
        processes::ON_DEFAULT_WATCHER,
    ]
    .concat();
    let each = [child_watchers::ON_EACH_WATCHER, processes::ON_EACH_WATCHER].concat();
    let plain = plain.into_iter().map(|(name, f)| (kebab(name), Run::Plain(f)));
    let each = each.into_iter().flat_map(|(name, f)| {
        WATCHERS.map(|watcher| (format!("{}/{watcher}", kebab(name)), Run::OnWatcher(f, watcher)))
    });
    plain.chain(each).collect()
}

/// Runs a scenario in this process, whose output is its trace.
pub(crate) fn run_here(name: &str, profile: Profile) {
    let (_, run) = all().into_iter().find(|(other, _)| other == name).unwrap();
    policy::set_profile(profile);
    // Ends a scenario that waits for what never comes.
    nix::unistd::alarm::set(SECONDS);
    match run {
        Run::Plain(f) => f(),
        Run::OnWatcher(f, watcher) => f(watcher),
    }
}
