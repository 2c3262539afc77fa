//! Children on every policy, with every watcher, in every profile of asyncio: the cross product, if `LOOPHOST_FULL` is set.
//! Otherwise the plugins' policies meet all watchers in the default profile only, and in the others the one that is the
//! profile's own. In one process and in the main thread, to which asyncio's watchers belong. `sandboxes` has them where
//! pidfds are forbidden.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{env, path::Path, process::ExitCode};

use loophost::{
    Options, PolicyHandle, WatcherHandle, builtin,
    plugin::{self, Plugin},
    policy::{self, DefaultEventLoopPolicy, Deprecation, Profile},
    testing::HostHarness,
};
use loophost_testkit::Subject;
use loophost_tests::{c_plugin, cdylib, loop_plugins, suite, trust};

/// The plugins that bring policies, besides those with loops of their own.
const POLICIES: [&str; 2] = ["selector-policy", "limited-policy"];
/// That which brings a watcher.
const WATCHER: &str = "quiet-watcher";

/// One of those that are compared: built in, or out of a file.
#[derive(Clone, Copy)]
enum Source {
    BuiltIn(&'static str),
    File(&'static str, &'static Plugin),
}

impl Source {
    fn of_file(name: &'static str, file: &Path) -> Self {
        Self::File(name, plugin::load(file, &trust()).unwrap())
    }

    fn name(self) -> &'static str {
        match self {
            Self::BuiltIn(name) | Self::File(name, _) => name,
        }
    }

    fn policy(self, profile: Profile) -> PolicyHandle {
        let default = PolicyHandle::new(DefaultEventLoopPolicy::new().with_profile(profile));
        match self {
            Self::BuiltIn(_) => default,
            Self::File(_, plugin) => plugin.new_policy(None, &Options::new(), Some(default)).unwrap(),
        }
    }

    fn watcher(self) -> WatcherHandle {
        match self {
            Self::BuiltIn(name) => builtin::watchers::new(name, &Options::new()).unwrap(),
            Self::File(_, plugin) => plugin.new_watcher(None, &Options::new(), None).unwrap(),
        }
    }
}

fn main() -> ExitCode {
    if env::args().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    Deprecation::ALL.into_iter().for_each(Deprecation::silence);
    let policies: Vec<_> = [Source::BuiltIn("default")]
        .into_iter()
        .chain(POLICIES.map(|package| Source::of_file(package, &cdylib(package))))
        .chain(loop_plugins().into_iter().map(|plugin| Source::of_file(plugin.name, &plugin.file)))
        .collect();
    let in_c = c_plugin("tests/c-fixtures/forwarding.c", "forwarding", &[]);
    let watchers: Vec<_> = builtin::WATCHERS
        .map(Source::BuiltIn)
        .into_iter()
        .chain([Source::of_file(WATCHER, &cdylib(WATCHER))])
        .chain(in_c.map(|file| Source::of_file("forwarding", &file)))
        .collect();
    let is_full = env::var_os("LOOPHOST_FULL").is_some();
    let harness = HostHarness::new();
    let mut failed = 0;
    for profile in Profile::ALL {
        policy::set_profile(profile);
        for policy in &policies {
            failed += check(&harness, profile, *policy, None);
            let all = is_full || profile == Profile::default() || matches!(policy, Source::BuiltIn(_));
            for watcher in watchers.iter().filter(|_| all) {
                failed += check(&harness, profile, *policy, Some(*watcher));
            }
        }
    }
    println!("{failed} cases failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

/// One cell: `None` is the watcher that the policy makes itself. How many cases have failed.
fn check(harness: &HostHarness, profile: Profile, policy: Source, watcher: Option<Source>) -> usize {
    let name = format!("{profile} {} {}", policy.name(), watcher.map_or("its own", Source::name));
    let make = || {
        let policy = policy.policy(profile);
        if let Some(watcher) = watcher {
            policy.set_child_watcher(Some(watcher.watcher()))?;
        }
        Ok(policy)
    };
    suite::check(&name, harness, &Subject::Policy(&make), |case| case.name().starts_with("subprocess/"))
}
