//! Orphans of other processes, which the kernel gives to PID 1 and to subreapers.

use nix::unistd::getpid;

use super::table::{self, Next, Whose};
use crate::Error;

/// Whether the orphans among this process's descendants become its children: as PID 1 of a container, or as a
/// subreaper (prctl(2), `PR_SET_CHILD_SUBREAPER`, which survives an exec).
pub fn adopts_orphans() -> bool {
    #[cfg(target_os = "linux")]
    let is_subreaper = nix::sys::prctl::get_child_subreaper().unwrap_or(false);
    #[cfg(not(target_os = "linux"))]
    let is_subreaper = false;
    getpid().as_raw() == 1 || is_subreaper
}

/// Reaps the children that have exited and were not started by this module, and says how many. Never waits, and takes
/// no status of a [`Child`](super::Child).
///
/// For a program that [`adopts_orphans`] and starts all its own processes through this module, whenever `SIGCHLD`
/// arrives: the kernel does not tell an adopted child from one that other code of the program has forked. A child of
/// this module that has exited and was not reaped yet may hide others, so such a program calls this after its own
/// children's handlers too. Any thread; waits for processes that are being started.
///
/// # Errors
/// `Os` if the kernel refuses to tell.
pub fn reap_adopted() -> Result<usize, Error> {
    let mut reaped = 0;
    let next = || table::reap_next(Whose::Strangers);
    while let Next::Reaped { .. } = next().map_err(|error| Error::os(&error, "reaping adopted orphans"))? {
        reaped += 1;
    }
    Ok(reaped)
}
