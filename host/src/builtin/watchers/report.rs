//! What every watcher does once it knows that a child has exited.

use crate::{
    Callback, Error,
    host::{self, Reaped},
    sys::wait::{self, Waited},
};

/// Whether there is something to [`reap`]: the child has exited, or is no child. Leaves the status in place.
pub(super) fn has_exited(pid: i32) -> bool {
    // What cannot be looked at is to be reaped, which says whether it lives.
    !matches!(wait::peek(pid), Ok(Waited::Alive))
}

/// Has the host take the status. What went wrong is logged: the handler is called in any case.
pub(super) fn reap(pid: i32) -> Reaped {
    host::reap(pid.into()).unwrap_or_else(|error| {
        tracing::warn!("{error}");
        Reaped::Lost
    })
}

/// Calls the handler with what the host has reaped; with `StillAlive` nothing happens. No lock is held by the caller.
pub(super) fn report(pid: i32, reaped: Reaped, callback: Callback) -> Result<(), Error> {
    match reaped {
        Reaped::NotOurs => {
            tracing::warn!("unknown child process pid {pid}, will report returncode 255");
        }
        Reaped::Lost => {
            tracing::warn!("child process pid {pid}: exit status already read, will report returncode 255");
        }
        Reaped::Recovered(exit) => {
            let returncode = exit.returncode();
            tracing::debug!("process {pid} exited with returncode {returncode}, read by somebody else");
        }
        Reaped::Exited(exit) => {
            tracing::debug!("process {pid} exited with returncode {}", exit.returncode());
        }
        Reaped::StillAlive => {}
    }
    reaped.deliver(pid.into(), |event| callback.call(event)).unwrap_or(Ok(()))
}
