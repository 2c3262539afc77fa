//! waitid(2), with the resources that the child has used (which libc's wrapper leaves out).

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, BorrowedFd},
};

use super::wait4;
use crate::ChildExit;

const TAKE: i32 = libc::WEXITED | libc::WNOHANG;
const PEEK: i32 = TAKE | libc::WNOWAIT;
const UNTIL_EXITED: i32 = libc::WEXITED | libc::WNOWAIT;

/// What waiting found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// The child has exited.
    Exited(ChildExit),
    /// The child lives.
    Alive,
    /// There is no such child: never ours, or its status was taken.
    NoChild,
}

/// Takes the status of a child that has exited; never waits. By the pidfd when there is one, as the pid may have come to
/// mean another child by now.
pub(crate) fn take(pid: i32, pidfd: Option<BorrowedFd<'_>>) -> io::Result<Waited> {
    wait(pid, pidfd, TAKE)
}

/// Looks at a child and leaves its status in place; never waits.
pub(crate) fn peek(pid: i32) -> io::Result<Waited> {
    wait(pid, None, PEEK)
}

/// The pid of a child that has exited, whichever it is; leaves its status in place and never waits.
pub(crate) fn peek_any() -> io::Result<Option<i32>> {
    match waitid(libc::P_ALL, 0, PEEK)? {
        (pid, Waited::Exited(_)) => Ok(Some(pid)),
        (_, Waited::Alive | Waited::NoChild) => Ok(None),
    }
}

/// Waits until the child has exited, and leaves its status in place.
pub(crate) fn until_exited(pid: i32, pidfd: Option<BorrowedFd<'_>>) -> io::Result<Waited> {
    wait(pid, pidfd, UNTIL_EXITED)
}

fn wait(pid: i32, pidfd: Option<BorrowedFd<'_>>, options: i32) -> io::Result<Waited> {
    if let Some(pidfd) = pidfd {
        match waitid(libc::P_PIDFD, pidfd.as_raw_fd(), options) {
            // Linux 5.3 has pidfds and cannot wait for them; a filter may know pidfd_open and not this.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EPERM | libc::ENOSYS)) => {
            }
            other => return other.map(|(_, waited)| waited),
        }
    }
    match waitid(libc::P_PID, pid, options) {
        Err(error) if is_forbidden(&error) => match options {
            TAKE => wait4::take(pid),
            PEEK => wait4::peek(pid),
            _ => wait4::until_exited(pid),
        },
        other => other.map(|(_, waited)| waited),
    }
}

/// A filter that allows only the older wait4(2).
fn is_forbidden(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOSYS))
}

/// What was found, and the pid of the child that has exited.
fn waitid(kind: libc::idtype_t, id: i32, options: i32) -> io::Result<(i32, Waited)> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // SAFETY: both structs are valid for writing during the call and have the kernel's layout.
        let done = unsafe {
            libc::syscall(libc::SYS_waitid, kind, id, info.as_mut_ptr(), options, usage.as_mut_ptr())
        };
        if done == 0 {
            break;
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::ECHILD) => return Ok((0, Waited::NoChild)),
            _ => return Err(error),
        }
    }
    // SAFETY: all zeroes is a value of both, and the kernel has filled in what it had to say.
    let (info, usage) = unsafe { (info.assume_init(), usage.assume_init()) };
    // SAFETY: waitid fills the fields of SIGCHLD, or leaves zeroes.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok((0, Waited::Alive));
    }
    Ok((pid, Waited::Exited(child_exit(raw_status(info.si_code, status), &usage))))
}

pub(super) fn child_exit(raw_status: i32, usage: &libc::rusage) -> ChildExit {
    let mut exit = ChildExit::new(raw_status);
    exit.utime_us = micros(usage.ru_utime);
    exit.stime_us = micros(usage.ru_stime);
    exit.maxrss_kb = u64::try_from(usage.ru_maxrss).unwrap_or(0);
    exit
}

/// From waitid's two numbers to the one of wait(2).
fn raw_status(code: i32, status: i32) -> i32 {
    match code {
        libc::CLD_EXITED => (status & 0xff) << 8,
        libc::CLD_DUMPED => status | 0x80,
        _ => status,
    }
}

fn micros(time: libc::timeval) -> u64 {
    u64::try_from(time.tv_sec * 1_000_000 + time.tv_usec).unwrap_or(0)
}
