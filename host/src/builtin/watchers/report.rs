//! What every watcher does once it knows that a child has exited.

use crate::{Callback, Error, host::Reaped};

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
