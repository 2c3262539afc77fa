//! Compatibility profiles: what changed between the versions of asyncio, in one table.

use std::{
    fmt,
    str::FromStr,
    sync::atomic::{AtomicU8, Ordering::Relaxed},
};

use super::deprecated::Deprecation;
use crate::Error;

/// A version of asyncio whose defaults a default policy follows: `--compat VERSION`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// As in Python 3.7.
    V3_7,
    /// As in Python 3.8.
    V3_8,
    /// As in Python 3.9 to 3.11.
    V3_9,
    /// As in Python 3.12.
    #[default]
    V3_12,
}

/// One row of the table.
struct Row {
    version: &'static str,
    /// The built-in watcher that `get_child_watcher` makes. `auto`: pidfd if it really works, else threaded.
    default_watcher: &'static str,
    /// Whether that watcher is attached to the main thread's loop when the main thread makes it.
    attaches_default_watcher: bool,
    /// The loop that a default policy makes on Windows.
    windows_loop: &'static str,
    /// Whether it is deprecated that `get_event_loop` makes a loop, which it does in all of them.
    deprecates_implicit_loop: bool,
    /// Whether `get_child_watcher`, `set_child_watcher` and the watchers that need SIGCHLD are deprecated.
    deprecates_watchers: bool,
}

const fn row(
    version: &'static str,
    default_watcher: &'static str,
    attaches_default_watcher: bool,
    windows_loop: &'static str,
    deprecates_implicit_loop: bool,
    deprecates_watchers: bool,
) -> Row {
    Row {
        version,
        default_watcher,
        attaches_default_watcher,
        windows_loop,
        deprecates_implicit_loop,
        deprecates_watchers,
    }
}

/// In the order of the enum.
#[rustfmt::skip]
const TABLE: [Row; 4] = [
    //                                               deprecates
    //  version  watcher     attaches  on Windows    implicit loop  watchers
    row("3.7",   "safe",     true,     "selector",   false,         false),
    row("3.8",   "threaded", true,     "proactor",   false,         false),
    row("3.9",   "threaded", true,     "proactor",   false,         false),
    row("3.12",  "auto",     false,    "proactor",   true,          true),
];

impl Profile {
    /// All of them, the oldest first.
    pub const ALL: [Self; 4] = [Self::V3_7, Self::V3_8, Self::V3_9, Self::V3_12];

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// The version, as one types it.
    pub fn version(self) -> &'static str {
        self.row().version
    }

    /// The name of the watcher that a default policy makes.
    pub fn default_watcher(self) -> &'static str {
        self.row().default_watcher
    }

    pub(super) fn attaches_default_watcher(self) -> bool {
        self.row().attaches_default_watcher
    }

    /// The kind of loop that a default policy makes on Windows. Elsewhere it is `selector` in all of them.
    pub fn default_loop_on_windows(self) -> &'static str {
        self.row().windows_loop
    }

    /// Whether it emits the event of something deprecated.
    pub fn deprecates(self, what: Deprecation) -> bool {
        match what {
            Deprecation::ImplicitEventLoop => self.row().deprecates_implicit_loop,
            Deprecation::GetChildWatcher
            | Deprecation::SetChildWatcher
            | Deprecation::SafeChildWatcher
            | Deprecation::FastChildWatcher
            | Deprecation::MultiLoopChildWatcher => self.row().deprecates_watchers,
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.version())
    }
}

impl FromStr for Profile {
    type Err = Error;

    fn from_str(version: &str) -> Result<Self, Error> {
        // The same in all that a profile is about.
        let as_3_9 = matches!(version, "3.10" | "3.11").then_some(Self::V3_9);
        as_3_9.or_else(|| Self::ALL.into_iter().find(|profile| profile.version() == version)).ok_or_else(
            || {
                let known = Self::ALL.map(Self::version).join(", ");
                Error::invalid_argument(format!("there is no profile {version}; choose one of {known}"))
            },
        )
    }
}

static PROFILE: AtomicU8 = AtomicU8::new(Profile::V3_12 as u8);

/// The profile of the process: 3.12 unless [`set_profile`] was called.
pub fn profile() -> Profile {
    Profile::ALL[usize::from(PROFILE.load(Relaxed))]
}

/// Sets the profile of the process, for the default policies that are made from now on and for the functions of this
/// module.
pub fn set_profile(profile: Profile) {
    PROFILE.store(profile as u8, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_profiles_are_one_to_one() {
        for profile in Profile::ALL {
            assert_eq!(profile.version().parse::<Profile>().unwrap(), profile);
        }
        assert_eq!("3.11".parse::<Profile>().unwrap(), Profile::V3_9);
        let error = "3.14".parse::<Profile>().unwrap_err();
        assert_eq!(error.message(), "there is no profile 3.14; choose one of 3.7, 3.8, 3.9, 3.12");
    }
}
