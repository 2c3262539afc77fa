//! The terminal rule: one ^C, one INT.
//!
//! A terminal sends its signals (INT, QUIT, TSTP, WINCH) to all of its foreground group. There are two cases:
//!
//! - loophost has the terminal to itself: an interactive shell has made a group for it, or it leads the session. Then
//!   the child gets a group of its own and the foreground is lent to it: what the terminal sends reaches the child and
//!   not loophost.
//! - Else there is no terminal, or others share loophost's group: the rest of a pipeline, the script that has started it.
//!   Then the child stays in the group with them. What the terminal sends reaches both, and loophost does not send it
//!   again.

use std::{
    cell::Cell,
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
};

use nix::unistd::{Pid, getpgrp, getpid, getsid, tcgetpgrp, tcsetpgrp};

/// The controlling terminal, while it is lent to the child. `SIGTTOU` must be blocked.
pub(super) struct Terminal {
    fd: OwnedFd,
    /// Whether the child has the foreground; somebody else may have taken it since.
    lent: Cell<bool>,
}

impl Terminal {
    /// The terminal, if loophost has it to itself. From now on it counts as lent.
    pub(super) fn to_lend() -> Option<Self> {
        // Only the first process of a pipeline leads the group, and its output is not the terminal.
        let is_alone = getpgrp() == getpid() && has_foreground(io::stdin()) && has_foreground(io::stdout());
        let fd = is_alone.then(|| io::stdin().as_fd().try_clone_to_owned())?;
        Some(Self { fd: fd.ok()?, lent: Cell::new(true) })
    }

    pub(super) fn duplicate(&self) -> io::Result<OwnedFd> {
        self.fd.try_clone()
    }

    /// Gives the foreground to the child's group.
    pub(super) fn lend(&self, group: i32) {
        self.lent.set(true);
        self.set_foreground(Pid::from_raw(group));
    }

    /// Gives the foreground to the child's group again if loophost was continued in the foreground, not if it was
    /// continued in the background.
    pub(super) fn lend_again(&self, group: i32) {
        match tcgetpgrp(&self.fd) {
            Ok(foreground) if foreground == getpgrp() => self.lend(group),
            foreground => self.lent.set(foreground == Ok(Pid::from_raw(group))),
        }
    }

    /// Takes the foreground back, for others of loophost's group to find it where it was; false if it is not lent. From
    /// a job in the background the shell has taken it already, and keeps it.
    pub(super) fn take_back(&self) -> bool {
        let was_lent = self.lent.replace(false);
        if was_lent {
            self.set_foreground(getpgrp());
        }
        was_lent
    }

    fn set_foreground(&self, group: Pid) {
        if let Err(errno) = tcsetpgrp(&self.fd, group) {
            tracing::debug!("setting the terminal's foreground group to {group}: {errno}");
        }
    }
}

/// Whether loophost's group has the foreground of its controlling terminal, wherever its streams go.
pub(super) fn is_in_foreground() -> bool {
    File::open("/dev/tty").is_ok_and(has_foreground)
}

/// Whether `fd` is the controlling terminal and loophost's group has its foreground.
fn has_foreground(fd: impl AsFd) -> bool {
    tcgetpgrp(fd) == Ok(getpgrp())
}

/// Whether loophost leads its session: a terminal that hangs up tells the leader alone.
pub(super) fn is_session_leader() -> bool {
    getsid(None) == Ok(getpid())
}
