//! Exits that a child watcher should have told of. One that a plugin brought may lose its handlers, and what has exited is
//! not waited for without end.

use std::time::Duration;

use loophost::{
    Error,
    host::Reaped,
    process::{self, Child},
};
use nix::{
    sys::wait::{Id, WaitPidFlag, WaitStatus, waitid},
    unistd::Pid,
};

/// How long after a child's exit its watcher may take to tell of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Whether a child of ours has exited, reaped or not. Any thread.
pub(crate) fn has_exited(pid: i64) -> bool {
    let Ok(pid) = i32::try_from(pid) else { return false };
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    !matches!(waitid(Id::Pid(Pid::from_raw(pid)), flags), Ok(WaitStatus::StillAlive))
}

/// The returncode of a child whose watcher keeps silent; `None` if it lives after all.
pub(crate) fn returncode(child: &Child) -> Result<Option<i32>, Error> {
    if child.returncode().is_none() {
        process::reap(child.pid())?;
    }
    let returncode = child.returncode();
    if returncode.is_some() {
        tracing::error!(pid = child.pid(), "the child watcher has not told of the exit of the program");
    }
    Ok(returncode)
}

/// What [`returncode`] says, for a thread that does not have the child.
pub(crate) fn returncode_of(pid: i64) -> i32 {
    match process::reap(pid) {
        Ok(Reaped::Exited(exit) | Reaped::Recovered(exit)) => exit.returncode(),
        Ok(Reaped::StillAlive | Reaped::NotOurs | Reaped::Lost) | Err(_) => 255,
    }
}
