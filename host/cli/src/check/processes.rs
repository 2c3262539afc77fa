//! The processes of the cases, and what those leave behind: nothing of it outlives its case for long, or the check. Only
//! if the check itself gets SIGKILL, which nobody can act on, its cases die with it and what they have started does not.
//!
//! A case leads a process group, which is killed when the case has ended. What has left the group (setsid(2)) becomes a
//! child of this process, which is a subreaper for that, once its own parent is gone. Nobody can tell whose it was, so
//! it is killed when no case runs.

use std::{
    collections::HashMap,
    fs,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use loophost::{
    Error, RepeatCallback,
    process::{self, Child, SpawnError},
    signal,
};
use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill},
        wait::{Id, WaitPidFlag, waitid},
    },
    unistd::Pid,
};

use crate::{
    exit_status::{self, Outcome},
    sys::{exit::exit_now, signals, startup},
};

/// How long the end of what was killed is waited for. The kernel may keep a process that waits for a disk.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(2);
/// The signals that end a check.
const ENDING: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// The cases that run, by number. Dropped, it ends all of them.
pub(super) struct Processes(Arc<Mutex<HashMap<usize, Child>>>);

impl Processes {
    /// From now on this process adopts orphans, and ends all cases before a signal ends it.
    pub(super) fn new() -> Result<Self, Error> {
        let os = |what| move |error| Error::os(&error, what);
        signals::stop_ignoring_children().map_err(os("giving SIGCHLD its default action"))?;
        // Where it is forbidden, what leaves its group is not found.
        #[cfg(target_os = "linux")]
        if let Err(error) = nix::sys::prctl::set_child_subreaper(true) {
            tracing::debug!("no subreaper: {error}");
        }
        let this = Self(Arc::default());
        let unwanted = startup::ignored_signals();
        for signum in ENDING.into_iter().filter(|signum| !unwanted.contains(*signum)) {
            let cases = this.0.clone();
            // In the thread of signals: this one may be waiting for whoever reads the report.
            let end = RepeatCallback::new(move |_| {
                // Never given back: no case is started any more, and the ends of these are no results.
                let cases = lock(&cases);
                end_all(&cases);
                exit_now(exit_status::of(&Outcome::Exited(-signum)))
            });
            signal::subscribe(signum, end)?;
        }
        Ok(this)
    }

    /// Starts a case.
    pub(super) fn start(
        &self,
        number: usize,
        start: impl FnOnce() -> Result<Child, SpawnError>,
    ) -> Result<(), SpawnError> {
        let mut cases = lock(&self.0);
        if cases.is_empty() {
            end_all(&cases);
        }
        cases.insert(number, start()?);
        Ok(())
    }

    /// Kills a case, whose exit is told later.
    pub(super) fn kill(&self, number: usize) {
        lock(&self.0).get(&number).into_iter().for_each(kill_group);
    }

    /// A case has ended.
    pub(super) fn ended(&self, number: usize) {
        let mut cases = lock(&self.0);
        cases.remove(&number).iter().for_each(kill_group);
        reap();
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        end_all(&lock(&self.0));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The case may have left its group, and its group may outlive it.
fn kill_group(case: &Child) {
    // Whoever is gone already cannot be killed, and need not be.
    let _ = case.send_signal_to_group(libc::SIGKILL);
    let _ = case.kill();
}

/// Kills the cases, whose statuses nobody wants, and all that has come to this process, until it has no child.
fn end_all(cases: &HashMap<usize, Child>) {
    let start = Instant::now();
    loop {
        for case in cases.values() {
            kill_group(case);
            // Not reaped it would hide what it has left.
            if let Err(error) = process::reap(case.pid()) {
                tracing::debug!("{error}");
            }
        }
        reap();
        // Asked of the kernel: a list can be out of date when it has been read, and what a case leaves comes to us only
        // when the case dies.
        if !has_children() {
            return;
        }
        let living = living_children();
        for orphan in living.iter().filter(|pid| !cases.values().any(|case| case.pid() == **pid)) {
            // Only `reap` takes its status, and not now, so the number is still its own.
            let _ = kill(Pid::from_raw(*orphan as i32), Signal::SIGKILL);
        }
        if start.elapsed() > PATIENCE {
            tracing::warn!("processes that cases have left cannot be killed: {living:?}");
            return;
        }
        thread::sleep(PAUSE);
    }
}

/// Whether this process has children, living or not.
fn has_children() -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(Id::All, flags) != Err(Errno::ECHILD)
}

fn reap() {
    if let Err(error) = process::reap_adopted() {
        tracing::debug!("{error}");
    }
}

fn living_children() -> Vec<i64> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    // Of a kernel without CONFIG_PROC_CHILDREN there is no such file.
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let pids = lists.flat_map(|list| {
        let pids = list.split_whitespace().filter_map(|pid| pid.parse().ok());
        pids.collect::<Vec<i64>>()
    });
    let is_zombie = |stat: String| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'));
    pids.filter(|pid| fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !is_zombie(stat)))
        .collect()
}
