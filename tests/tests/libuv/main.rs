//! The plugin `libuv`: what the conformance suite does not ask, because it is libuv's own. `event_loops`, `matrix`,
//! `plugin_check`, `servers` and `batch` have the rest.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod descriptors;
mod embedding;
mod ends;
mod opening;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use loophost::{LoopHandle, Options, PolicyHandle, RepeatCallback, plugin, policy::DefaultEventLoopPolicy};
use loophost_tests::{cdylib, eventually, libuv_works, trust};
use nix::{
    sys::wait::{WaitStatus, waitpid},
    unistd::{ForkResult, fork},
};

/// A loop of libuv; `None` where that is not installed, and then the test is skipped.
fn new_loop() -> Option<LoopHandle> {
    // Once: a forked child finds it without the locks that it takes to make one, which another test's thread may have held.
    static POLICY: OnceLock<Option<PolicyHandle>> = OnceLock::new();
    let policy = POLICY.get_or_init(|| {
        libuv_works().then(|| {
            let plugin = plugin::load(&cdylib("loophost-libuv"), &trust()).unwrap();
            let default = PolicyHandle::new(DefaultEventLoopPolicy::new());
            plugin.new_policy(None, &Options::new(), Some(default)).unwrap()
        })
    });
    policy.as_ref().map(|policy| policy.new_event_loop().unwrap())
}

/// One turn that waits for nothing.
fn turn(event_loop: &LoopHandle) {
    event_loop.run_once(Some(Duration::ZERO)).unwrap();
}

/// Turns until something has come.
fn turns_until(event_loop: &LoopHandle, what: &str, come: impl Fn() -> bool) {
    eventually(what, || {
        turn(event_loop);
        come().then_some(())
    });
}

/// Runs `f` in a forked child, which must not panic.
#[track_caller]
fn in_a_child(f: impl FnOnce()) {
    // SAFETY: glibc lets a child of a program with threads allocate, and the host is made for the rest. It leaves by
    // `_exit`.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            let status = i32::from(catch_unwind(AssertUnwindSafe(f)).is_err());
            // SAFETY: ends the child without running anything of the parent's.
            unsafe { libc::_exit(status) }
        }
        ForkResult::Parent { child } => {
            assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0));
        }
    }
}

/// How often a callback was called, and how many of it are left.
#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Count {
    fn callback(&self) -> RepeatCallback {
        let count = self.clone();
        RepeatCallback::new(move |_| {
            count.0.fetch_add(1, SeqCst);
            Ok(())
        })
    }

    fn get(&self) -> usize {
        self.0.load(SeqCst)
    }

    /// How many callbacks there are.
    fn live(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}
