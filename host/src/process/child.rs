//! The handle of a process.

use std::{
    fmt,
    os::fd::{BorrowedFd, OwnedFd},
    sync::Arc,
};

use super::{
    orphans,
    prepare::Pipes,
    table::{self, Process},
};
use crate::{Error, host::Reaped};

/// A process that was started with [`spawn`](super::spawn) or [`subprocess_exec`](super::subprocess_exec) (asyncio:
/// the transport of a subprocess).
///
/// All methods: any thread. Dropping it never waits, signals nobody, and leaves no zombie: the process goes on, and its
/// handler is called if it has one, or the process-wide reaper takes its status.
pub struct Child {
    process: Arc<Process>,
    /// Whether a handler keeps the process, so that this handle need not.
    watched: bool,
    /// Our end of descriptor 0, if it is a pipe.
    pub stdin: Option<OwnedFd>,
    /// Our end of descriptor 1, if it is a pipe.
    pub stdout: Option<OwnedFd>,
    /// Our end of descriptor 2, if it is a pipe.
    pub stderr: Option<OwnedFd>,
}

impl Child {
    pub(super) fn new(process: Arc<Process>, watched: bool, pipes: Pipes) -> Self {
        let [stdin, stdout, stderr] = pipes;
        Self { process, watched, stdin, stdout, stderr }
    }

    /// The pid. Once the process was reaped it may belong to another one.
    pub fn pid(&self) -> i64 {
        self.process.pid().into()
    }

    /// The process's pidfd, where the system has them: for
    /// [`add_child_handler`](crate::WatcherHandle::add_child_handler).
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.process.pidfd()
    }

    /// 0 to 255, or −N when signal N ended it (asyncio: `returncode`); `None` until its end was noticed. 255 also
    /// stands for a status that somebody else has taken.
    pub fn returncode(&self) -> Option<i32> {
        self.process.end().map(|end| match end {
            Reaped::Exited(exit) | Reaped::Recovered(exit) => exit.returncode(),
            Reaped::StillAlive | Reaped::NotOurs | Reaped::Lost => 255,
        })
    }

    /// How it ended, and who has found out.
    #[cfg(feature = "testing")]
    pub(crate) fn end(&self) -> Option<Reaped> {
        self.process.end()
    }

    /// Sends a signal (asyncio: `send_signal`); 0 only asks whether that is possible.
    ///
    /// # Errors
    /// `ProcessGone` once the process was reaped: no signal ever reaches another process with the same pid.
    /// `InvalidArgument` for a number that is no signal; `Os` with `EPERM` if it changed its user.
    pub fn send_signal(&self, signum: i32) -> Result<(), Error> {
        table::send_signal(&self.process, signum)
    }

    /// Sends a signal to the process group that the child leads. For a child that was started with
    /// [`process_group`](super::Command::process_group)`(Some(0))` or in a
    /// [`new_session`](super::Command::new_session).
    ///
    /// The group is there as long as the child has not been reaped, and after that as long as somebody else is in it,
    /// if only a zombie. This reaches it until then on Linux 6.9 or newer with a [`pidfd`](Self::pidfd), elsewhere until
    /// the child was reaped. It never reaches another group with the same number.
    ///
    /// # Errors
    /// As [`send_signal`](Self::send_signal); `ProcessGone` once the group cannot be reached any more, or if the child
    /// leads none.
    pub fn send_signal_to_group(&self, signum: i32) -> Result<(), Error> {
        table::send_signal_to_group(&self.process, signum)
    }

    /// Sends SIGTERM (asyncio: `terminate`). Errors as [`send_signal`](Self::send_signal).
    pub fn terminate(&self) -> Result<(), Error> {
        self.send_signal(libc::SIGTERM)
    }

    /// Sends SIGKILL (asyncio: `kill`). Errors as [`send_signal`](Self::send_signal).
    pub fn kill(&self) -> Result<(), Error> {
        self.send_signal(libc::SIGKILL)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.watched && self.process.end().is_none() {
            orphans::adopt(self.process.clone());
        }
        table::forget(&self.process);
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child").field("pid", &self.pid()).field("returncode", &self.returncode()).finish()
    }
}
