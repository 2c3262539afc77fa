//! Deprecation events: what asyncio reports as a `DeprecationWarning`, with the place of the caller.

use std::{
    cell::Cell,
    fmt,
    panic::Location,
    str::FromStr,
    sync::atomic::{AtomicU8, Ordering::Relaxed},
};

use super::profile::profile;
use crate::Error;

thread_local! {
    /// Where the public function that is under way in this thread was called.
    static CALLER: Cell<Option<&'static Location<'static>>> = const { Cell::new(None) };
}

/// Runs `f` for a public function that was called at `caller`. A policy is reached through handles, perhaps of a plugin,
/// which carry no place.
pub(crate) fn called_from<R>(caller: &'static Location<'static>, f: impl FnOnce() -> R) -> R {
    /// Puts the outer call's place back, also after a panic.
    struct Restore(Option<&'static Location<'static>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CALLER.set(self.0);
        }
    }
    let _restore = Restore(CALLER.replace(Some(caller)));
    f()
}

/// One thing that asyncio has deprecated.
///
/// Its event is a `tracing` event of level warn and target `loophost::deprecated`, with the fields `code` and, where it
/// is known, `caller`. Code, level, target and fields never change; the message may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deprecation {
    /// `get_event_loop` makes a loop because there is none.
    ImplicitEventLoop,
    /// [`get_child_watcher`](super::get_child_watcher) is called.
    GetChildWatcher,
    /// [`set_child_watcher`](super::set_child_watcher) is called.
    SetChildWatcher,
    /// A [`SafeChildWatcher`](crate::builtin::watchers::SafeChildWatcher) is made.
    SafeChildWatcher,
    /// A [`FastChildWatcher`](crate::builtin::watchers::FastChildWatcher) is made.
    FastChildWatcher,
    /// A [`MultiLoopChildWatcher`](crate::builtin::watchers::MultiLoopChildWatcher) is made.
    MultiLoopChildWatcher,
}

/// In the order of the enum: code and message.
const TABLE: [(&str, &str); 6] = [
    (
        "implicit_event_loop",
        "there is no current event loop and one is made: call set_event_loop(new_event_loop()) first",
    ),
    (
        "get_child_watcher",
        "get_child_watcher is deprecated: the default watcher needs no care, choose another with --watcher",
    ),
    (
        "set_child_watcher",
        "set_child_watcher is deprecated: the default watcher needs no care, choose another with --watcher",
    ),
    ("safe_child_watcher", "SafeChildWatcher is deprecated: pidfd or threaded does the same, and faster"),
    ("fast_child_watcher", "FastChildWatcher is deprecated: pidfd is as fast and takes no status of others"),
    ("multi_loop_child_watcher", "MultiLoopChildWatcher is deprecated: pidfd or threaded does the same"),
];

/// A bit for each that is silenced.
static SILENCED: AtomicU8 = AtomicU8::new(0);

impl Deprecation {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::ImplicitEventLoop,
        Self::GetChildWatcher,
        Self::SetChildWatcher,
        Self::SafeChildWatcher,
        Self::FastChildWatcher,
        Self::MultiLoopChildWatcher,
    ];

    /// The code, as it stands in the event and in `--silence`.
    pub fn code(self) -> &'static str {
        TABLE[self as usize].0
    }

    /// Silences it in this process, for good (Python: `-W ignore`). Any thread.
    pub fn silence(self) {
        SILENCED.fetch_or(self.bit(), Relaxed);
    }

    /// Emits the event unless the profile does not deprecate it, or it is silenced.
    pub(crate) fn emit_in_profile(self) {
        if profile().deprecates(self) {
            self.emit();
        }
    }

    pub(super) fn emit(self) {
        if SILENCED.load(Relaxed) & self.bit() != 0 {
            return;
        }
        tracing::warn!(
            target: "loophost::deprecated",
            code = self.code(),
            caller = CALLER.get().map(tracing::field::display),
            "{}",
            TABLE[self as usize].1
        );
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Deprecation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Deprecation {
    type Err = Error;

    fn from_str(code: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|deprecation| deprecation.code() == code).ok_or_else(|| {
            let known = Self::ALL.map(Self::code).join(", ");
            Error::invalid_argument(format!("there is no event with the code {code}; choose from {known}"))
        })
    }
}
