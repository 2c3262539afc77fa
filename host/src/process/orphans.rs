//! The process-wide reaper: takes the children that nobody waits for any more.
//!
//! Its thread starts with the first orphan that still lives and stays. It sleeps in poll(2) on their pidfds; those
//! without one are looked at a few times a second. Each child is reaped under the table's lock by itself, so a crowd of
//! them holds up nobody.

use std::{
    os::fd::AsFd,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};

use super::{
    lock::lock,
    small_thread::spawn_small_thread,
    table::{self, Process},
};
use crate::sys::per_process::PerProcess;

/// How long a child without a pidfd may stay a zombie.
const RESCAN: Duration = Duration::from_millis(200);

/// Children that lost their keeper and have not been reaped yet. For metrics; any thread.
pub fn orphans() -> usize {
    REAPER.get().count.load(Relaxed)
}

/// Takes over a child. Never waits.
pub(super) fn adopt(process: Arc<Process>) {
    REAPER.get().adopt(process);
}

/// Tries again what could not be done for want of a thread. Costs next to nothing if nothing is due.
pub(super) fn catch_up() {
    REAPER.get().catch_up();
}

static REAPER: PerProcess<Reaper> = PerProcess::new(|_| Reaper::default());

#[derive(Default)]
struct Reaper {
    /// Adopted and not reaped.
    count: AtomicUsize,
    arrivals: Mutex<Arrivals>,
    /// Wakes the thread; made by the thread when it can.
    wake: OnceLock<EventFd>,
}

#[derive(Default)]
struct Arrivals {
    waiting: Vec<Arc<Process>>,
    has_thread: bool,
}

impl Reaper {
    fn adopt(&'static self, process: Arc<Process>) {
        if table::reap_unclaimed(&process) {
            return;
        }
        self.count.fetch_add(1, Relaxed);
        let mut arrivals = lock(&self.arrivals);
        arrivals.waiting.push(process);
        self.ensure_thread(&mut arrivals);
        drop(arrivals);
        if let Some(wake) = self.wake.get() {
            let _ = wake.write(1);
        }
    }

    fn catch_up(&'static self) {
        if self.count.load(Relaxed) == 0 {
            return;
        }
        let mut arrivals = lock(&self.arrivals);
        if !arrivals.has_thread {
            self.reap_dead(&mut arrivals.waiting);
            self.ensure_thread(&mut arrivals);
        }
    }

    fn ensure_thread(&'static self, arrivals: &mut Arrivals) {
        if !arrivals.has_thread {
            // If it fails (EAGAIN), the next orphan or spawn tries again.
            arrivals.has_thread = spawn_small_thread("loophost-reaper".into(), || self.run()).is_ok();
        }
    }

    /// The thread.
    fn run(&self) {
        let mut children = Vec::new();
        loop {
            let wake = self.wake();
            children.append(&mut lock(&self.arrivals).waiting);
            self.reap_dead(&mut children);
            sleep(wake, &children);
        }
    }

    /// The eventfd. While there is none (EMFILE), the thread looks for arrivals from time to time.
    fn wake(&self) -> Option<&EventFd> {
        if self.wake.get().is_none()
            && let Ok(made) = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
        {
            let _ = self.wake.set(made);
        }
        self.wake.get()
    }

    fn reap_dead(&self, children: &mut Vec<Arc<Process>>) {
        let before = children.len();
        children.retain(|process| !table::reap_unclaimed(process));
        self.count.fetch_sub(before - children.len(), Relaxed);
    }
}

/// Returns when a child has exited, when somebody wakes the thread, or when it is time to look.
fn sleep(wake: Option<&EventFd>, children: &[Arc<Process>]) {
    let pidfds = children.iter().filter_map(|process| process.pidfd());
    let mut fds: Vec<_> = wake
        .map(AsFd::as_fd)
        .into_iter()
        .chain(pidfds)
        .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
        .collect();
    let all_watched = fds.len() == children.len() + 1;
    let timeout = if all_watched { PollTimeout::NONE } else { rescan() };
    if let Err(errno) = poll(&mut fds, timeout)
        && errno != Errno::EINTR
    {
        // More descriptors than RLIMIT_NOFILE allows to poll, or no memory: then the clock alone has to do.
        let _ = poll(&mut [], rescan());
    }
    if let Some(wake) = wake {
        let _ = wake.read();
    }
}

fn rescan() -> PollTimeout {
    PollTimeout::try_from(RESCAN).unwrap_or(PollTimeout::MAX)
}
