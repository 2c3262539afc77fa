//! How processes are started here.

use std::{
    cell::Cell,
    io,
    sync::atomic::{AtomicU8, Ordering::Relaxed},
};

use crate::sys::seccomp;

/// A way to start a process, the best one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Way {
    /// clone3(2) with the pidfd at birth and handlers reset by the kernel: Linux 5.5 on x86_64 and aarch64.
    Clone3 = 1,
    /// The same child through libc's clone(3), which every filter has to let through: Linux 4.14.
    Clone = 2,
    /// posix_spawn(3): everywhere, without death signal and other users.
    Posix = 3,
}

/// The number of the best way that has not been ruled out; 0 before the first spawn. A forked child goes on with what
/// its parent has learned.
static BEST: AtomicU8 = AtomicU8::new(0);

thread_local! {
    static FORCED: Cell<Option<Way>> = const { Cell::new(None) };
}

/// Makes this thread's spawns start with `way` instead of the best one.
pub(crate) fn force(way: Option<Way>) {
    FORCED.set(way);
}

impl Way {
    /// The way to try now.
    pub(super) fn current() -> Self {
        if let Some(forced) = FORCED.get() {
            return forced;
        }
        match BEST.load(Relaxed) {
            0 => {
                let first = Self::first();
                BEST.store(first as u8, Relaxed);
                first
            }
            1 => Self::Clone3,
            2 => Self::Clone,
            _ => Self::Posix,
        }
    }

    /// What to begin with.
    fn first() -> Self {
        // clone3's flags lie in memory, where a filter cannot see them, so one that cares about namespaces has to forbid
        // the call. Container runtimes do that with ENOSYS, and one failed call per process would be nothing. But others
        // kill or trap (and a trap whose signal is blocked, as all are during a spawn, kills too), and a helper to find
        // out costs more than clone3 ever saves. So under a filter we begin with the call that threads and posix_spawn
        // of every libc have needed for ever.
        if seccomp::is_filtered() { Self::Clone } else { Self::Clone3 }
    }

    /// From now on the next one is tried.
    pub(super) fn rule_out(self, why: &io::Error) {
        let next = if self == Self::Clone3 { Self::Clone } else { Self::Posix };
        tracing::debug!("{self:?} cannot be used here, {next:?} starts processes from now on: {why}");
        match FORCED.get() {
            Some(_) => FORCED.set(Some(next)),
            None => _ = BEST.fetch_max(next as u8, Relaxed),
        }
    }
}
