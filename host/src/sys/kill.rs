//! kill(2), for real-time signals too (nix's `Signal` has none).

use std::io;

/// Sends a signal to a process of ours that has not been reaped.
pub(crate) fn kill(pid: i32, signum: i32) -> io::Result<()> {
    // SAFETY: the call takes two integers. That the pid still means the process is the caller's to know.
    match unsafe { libc::kill(pid, signum) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
