//! The death signal of programs that are not to outlive loophost.

use loophost::probe;

/// What the kernel sends to such a program when loophost is killed; `None`, with a warning about `what`, where that
/// cannot be had: a sandbox forbids it, or an emulator leaves only posix_spawn(3).
pub(crate) fn find(what: &str) -> Option<i32> {
    match probe::death_signal() {
        // Where no process can be started at all, that is for the first one to tell.
        Ok(probe) if !probe.works && probe::child().is_ok_and(|child| child.works) => {
            tracing::warn!("{what} will go on if loophost is killed: {}", probe.reason);
            None
        }
        _ => Some(libc::SIGKILL),
    }
}
