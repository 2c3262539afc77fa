//! Trying out pidfds where a system call may kill: in a forked helper.

use std::{io, mem::MaybeUninit, ptr};

use super::forked_helper::{self, Ended, exit, fork};

/// How the helper ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All of it works.
    Works,
    /// pidfd_open fails with this number.
    CannotOpen(i32),
    /// The pidfd of a dead process does not become readable.
    CannotPoll,
    /// waitid(P_PIDFD) does not find the process.
    CannotWait,
    /// The helper could not make a process of its own.
    CannotFork,
    /// A signal killed the helper: 31, SIGSYS, is a filter's way to forbid a system call.
    Killed(i32),
}

/// The helper's exit statuses; below them are error numbers of pidfd_open.
const CANNOT_POLL: i32 = 253;
const CANNOT_WAIT: i32 = 254;
const CANNOT_FORK: i32 = 255;

/// Forks the helper and waits for it: a fraction of a millisecond.
///
/// # Errors
/// The fork failed.
pub(crate) fn run() -> io::Result<Verdict> {
    // SAFETY: `helper` makes raw system calls only, on descriptors and a child of its own.
    Ok(match unsafe { forked_helper::run(helper) }? {
        Ended::Killed(signum) => Verdict::Killed(signum),
        Ended::Exited(status) => match status {
            0 => Verdict::Works,
            CANNOT_POLL => Verdict::CannotPoll,
            CANNOT_WAIT => Verdict::CannotWait,
            CANNOT_FORK => Verdict::CannotFork,
            errno => Verdict::CannotOpen(errno),
        },
    })
}

/// The helper's whole life: raw system calls only, for the locks of the program's other threads may be held for ever
/// here.
fn helper() -> i32 {
    // SAFETY: the calls take integers, or pointers to locals of the kernel's layout; the processes are our own, the
    // descriptor too, and it goes with the process.
    unsafe {
        let pid = fork(libc::SIGCHLD as libc::c_ulong);
        match pid {
            0 => exit(0),
            ..0 => return CANNOT_FORK,
            _ => {}
        }
        let pidfd = libc::syscall(libc::SYS_pidfd_open, pid, 0) as i32;
        if pidfd < 0 {
            return *libc::__errno_location();
        }
        let mut poll = libc::pollfd { fd: pidfd, events: libc::POLLIN, revents: 0 };
        // For a sandbox that hands out pidfds which never tell.
        let limit = libc::timespec { tv_sec: 1, tv_nsec: 0 };
        let none = ptr::null::<libc::sigset_t>();
        if libc::syscall(libc::SYS_ppoll, &raw mut poll, 1, &raw const limit, none, 0) != 1 {
            return CANNOT_POLL;
        }
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        let usage = ptr::null_mut::<libc::rusage>();
        let waited =
            libc::syscall(libc::SYS_waitid, libc::P_PIDFD, pidfd, info.as_mut_ptr(), libc::WEXITED, usage);
        if waited == 0 { 0 } else { CANNOT_WAIT }
    }
}
