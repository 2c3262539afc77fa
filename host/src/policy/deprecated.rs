//! Deprecation events: what asyncio reports as a `DeprecationWarning`, with the place of the caller.

use std::{cell::Cell, panic::Location};

thread_local! {
    /// Where the public function that is under way in this thread was called.
    static CALLER: Cell<Option<&'static Location<'static>>> = const { Cell::new(None) };
}

/// Runs `f` for a public function that was called at `caller`. A policy is reached through handles, perhaps of a plugin,
/// which carry no place.
pub(super) fn called_from<R>(caller: &'static Location<'static>, f: impl FnOnce() -> R) -> R {
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

/// One thing that is deprecated. The codes are for programs and never change.
pub(super) struct Deprecation {
    code: &'static str,
    message: &'static str,
}

impl Deprecation {
    pub(super) const IMPLICIT_EVENT_LOOP: Self = Self {
        code: "implicit_event_loop",
        message: "there is no current event loop and one is made: call set_event_loop(new_event_loop()) first",
    };
    pub(super) const GET_CHILD_WATCHER: Self = Self {
        code: "get_child_watcher",
        message: "get_child_watcher is deprecated: the default watcher needs no care, choose another with --watcher",
    };
    pub(super) const SET_CHILD_WATCHER: Self = Self {
        code: "set_child_watcher",
        message: "set_child_watcher is deprecated: the default watcher needs no care, choose another with --watcher",
    };

    pub(super) fn emit(&self) {
        tracing::warn!(
            target: "loophost::deprecated",
            code = self.code,
            caller = CALLER.get().map(tracing::field::display),
            "{}",
            self.message
        );
    }
}
