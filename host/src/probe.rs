//! What this kernel and container allow, tried and not guessed from versions.
//!
//! Each probe runs in a forked helper, so that a seccomp filter that kills only kills the helper. Costs about half a
//! millisecond; any thread. For pidfds see [`PidfdProbe`](crate::process::PidfdProbe).

use std::io;

use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    sys::stat::Mode,
};

use crate::sys::{
    descriptor_helper, epoll_helper,
    forked_helper::Ended,
    io_uring_helper,
    spawn::{Failure, Step, Trial},
    thread_helper, wait_helper,
};

/// What a probe has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Whether it can be used.
    pub works: bool,
    /// What was tried and what came of it, for people.
    pub reason: String,
}

/// Whether epoll works: create, add, wait. The built-in loop is made of it.
///
/// # Errors
/// No helper could be forked, so nothing was tried.
pub fn epoll() -> io::Result<Probe> {
    let calls = "epoll_create1, epoll_ctl and epoll_wait";
    Ok(match epoll_helper::run()? {
        Ended::Exited(epoll_helper::NOT_REPORTED) => {
            no("epoll_wait does not report a descriptor that is ready".to_owned())
        }
        ended => judge(calls, ended),
    })
}

/// Whether io_uring works: whether a ring can be set up.
///
/// # Errors
/// No helper could be forked, so nothing was tried.
pub fn io_uring() -> io::Result<Probe> {
    Ok(judge("io_uring_setup", io_uring_helper::run()?))
}

/// Whether threads can be made. Signals are received in one.
///
/// # Errors
/// No helper could be forked, so nothing was tried.
pub fn thread() -> io::Result<Probe> {
    Ok(judge("clone3", thread_helper::run()?))
}

/// Whether signalfds work, by which blocked signals are received.
///
/// # Errors
/// No helper could be forked, so nothing was tried.
pub fn signalfd() -> io::Result<Probe> {
    Ok(judge("signalfd4", descriptor_helper::signalfd()?))
}

/// Whether eventfds work, by which threads wake each other.
///
/// # Errors
/// No helper could be forked, so nothing was tried.
pub fn eventfd() -> io::Result<Probe> {
    Ok(judge("eventfd2", descriptor_helper::eventfd()?))
}

/// Whether one may wait for a child and leave its status in place. Where that is refused, children are looked for in
/// `/proc`; where it kills, nothing can be supervised.
///
/// # Errors
/// No helper could be forked, so nothing was tried.
pub fn wait() -> io::Result<Probe> {
    Ok(judge("waitid", wait_helper::run()?))
}

/// Whether a process can be started, as [`process::spawn`](crate::process::spawn) does it. None is: the program does not
/// exist.
///
/// # Errors
/// For want of memory or processes there was none, so nothing was tried.
pub fn child() -> io::Result<Probe> {
    spawn(Trial::default())
}

/// The same with a session of its own, as `batch` starts its jobs.
///
/// # Errors
/// As [`child`].
pub fn session() -> io::Result<Probe> {
    spawn(Trial { new_session: true, ..Trial::default() })
}

/// The same with a signal for the death of its parent.
///
/// # Errors
/// As [`child`].
pub fn death_signal() -> io::Result<Probe> {
    spawn(Trial { death_signal: Some(libc::SIGKILL), ..Trial::default() })
}

fn spawn(trial: Trial) -> io::Result<Probe> {
    let null = match open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()) {
        Ok(null) => null,
        Err(errno) => return Ok(no(format!("opening /dev/null: {}", errno.desc()))),
    };
    match trial.run(null) {
        Ok(()) => Ok(Probe { works: true, reason: "tried, works".to_owned() }),
        Err(Failure { step: Step::Start, source })
            if matches!(source.raw_os_error(), Some(libc::EAGAIN | libc::ENOMEM)) =>
        {
            Err(source)
        }
        Err(failure) => Ok(no(failure.to_string())),
    }
}

fn judge(calls: &str, ended: Ended) -> Probe {
    match ended {
        Ended::Exited(0) => Probe { works: true, reason: format!("{calls}: tried, works") },
        Ended::Exited(errno) => no(format!("{calls}: {}", Errno::from_raw(errno).desc())),
        Ended::Killed(libc::SIGSYS) => no(format!("a seccomp filter kills (SIGSYS) what calls {calls}")),
        Ended::Killed(signum) => no(format!("the helper that tries {calls} was killed by signal {signum}")),
    }
}

fn no(reason: String) -> Probe {
    Probe { works: false, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_built_in_loop_is_made_of_works() {
        let probe = epoll().unwrap();
        assert!(probe.works, "{probe:?}");
        for probe in [
            thread().unwrap(),
            signalfd().unwrap(),
            eventfd().unwrap(),
            wait().unwrap(),
            child().unwrap(),
            session().unwrap(),
            death_signal().unwrap(),
        ] {
            assert!(probe.works, "{probe:?}");
        }
    }

    #[test]
    fn the_reason_names_what_was_tried() {
        assert!(io_uring().unwrap().reason.contains("io_uring_setup"));
        let killed = judge("x", Ended::Killed(libc::SIGSYS));
        assert!(!killed.works && killed.reason.contains("seccomp"), "{killed:?}");
        let refused = judge("x", Ended::Exited(libc::EPERM));
        assert!(!refused.works && refused.reason.contains("not permitted"), "{refused:?}");
    }
}
