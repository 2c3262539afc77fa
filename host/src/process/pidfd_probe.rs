//! Whether pidfds work here, tried and not guessed from the kernel's version.

use std::{os::fd::AsFd, sync::OnceLock};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::getpid,
};

use crate::sys::{
    pidfd,
    pidfd_helper::{self, Verdict},
    seccomp,
};

/// Whether pidfds work in this process, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PidfdProbe {
    /// Whether a [`PidfdChildWatcher`](crate::builtin::watchers::PidfdChildWatcher) can be used.
    pub works: bool,
    /// What was tried and what came of it, for people.
    pub reason: String,
}

impl PidfdProbe {
    /// The answer for this process, found out when it is first asked for. Any thread.
    ///
    /// Without a seccomp filter opening and polling one is enough, and the first real child is the rest of the probe.
    /// With a filter, which may kill instead of refusing, it is [`full`](Self::full).
    pub fn get() -> &'static Self {
        static ANSWER: OnceLock<PidfdProbe> = OnceLock::new();
        ANSWER.get_or_init(|| if seccomp::is_filtered() { Self::full() } else { Self::quick() })
    }

    /// Tries all of it, open, poll and waitid, on a child of a forked helper; what kills, kills the helper. Costs about
    /// half a millisecond. Any thread.
    pub fn full() -> Self {
        let verdict = match pidfd_helper::run() {
            Ok(verdict) => verdict,
            Err(error) => {
                return Self::no(format!("the helper that tries out pidfds was not forked: {error}"));
            }
        };
        match verdict {
            Verdict::Works => Self::yes("pidfd_open, poll and waitid work on a child (tried in a helper)"),
            Verdict::CannotOpen(errno) => Self::cannot_open(Errno::from_raw(errno)),
            Verdict::CannotPoll => Self::no("the pidfd of a dead process does not become readable"),
            Verdict::CannotWait => Self::no("waitid(P_PIDFD) does not find a child"),
            Verdict::CannotFork => Self::no("the helper that tries out pidfds could not fork a child"),
            Verdict::Killed(libc::SIGSYS) => {
                Self::no("a seccomp filter kills (SIGSYS) a process that uses pidfds")
            }
            Verdict::Killed(signum) => {
                Self::no(format!("the helper that tries out pidfds was killed by signal {signum}"))
            }
        }
    }

    fn quick() -> Self {
        let own = match pidfd::open(getpid().as_raw()) {
            Ok(own) => own,
            Err(error) => {
                return Self::cannot_open(Errno::from_raw(error.raw_os_error().unwrap_or(0)));
            }
        };
        let mut fds = [PollFd::new(own.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::ZERO) {
            Ok(0) => Self::yes("pidfd_open and poll work, and there is no seccomp filter"),
            Ok(_) => Self::no("the pidfd of a living process is readable"),
            Err(errno) => Self::no(format!("a pidfd cannot be polled: {}", errno.desc())),
        }
    }

    fn cannot_open(errno: Errno) -> Self {
        let hint = match errno {
            // The answer is for the life of the process, and such a shortage need not last: a child that gets no pidfd
            // falls back by itself.
            Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM => {
                return Self::yes(format!("could not be tried ({}) and is assumed", errno.desc()));
            }
            Errno::ENOSYS => " (Linux before 5.3, or a sandbox)",
            Errno::EPERM => " (a seccomp filter, as of older container runtimes)",
            _ => "",
        };
        Self::no(format!("pidfd_open: {}{hint}", errno.desc()))
    }

    fn yes(reason: impl Into<String>) -> Self {
        Self { works: true, reason: reason.into() }
    }

    fn no(reason: impl Into<String>) -> Self {
        Self { works: false, reason: reason.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_probes_agree() {
        let (quick, full) = (PidfdProbe::quick(), PidfdProbe::full());
        assert_eq!(quick.works, full.works, "{quick:?} {full:?}");
    }
}
