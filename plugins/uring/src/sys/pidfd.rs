//! Descriptors for processes (pidfd_open(2)).

use std::{
    io,
    os::fd::{FromRawFd, OwnedFd, RawFd},
};

use libc::c_long;
use loophost_plugin_api::Fd;

/// Opens one for `pid`; `None` if there is no such process any more.
///
/// # Errors
/// `ENOSYS` or `EPERM` where there are no pidfds, `EMFILE`.
pub(crate) fn open(pid: i64) -> io::Result<Option<OwnedFd>> {
    // SAFETY: the call takes two integers.
    match owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) }) {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
        opened => opened.map(Some),
    }
}

/// A copy of one that was lent, close-on-exec.
///
/// # Errors
/// `EBADF` if the lender has closed it, `EMFILE`.
pub(crate) fn duplicate(lent: Fd) -> io::Result<OwnedFd> {
    let lent = RawFd::try_from(lent).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: the call takes integers. From 3 up: the copy must not take the place of a closed standard stream.
    owned(unsafe { libc::fcntl(lent, libc::F_DUPFD_CLOEXEC, 3) }.into())
}

fn owned(fd: c_long) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it for the caller, and descriptors fit into a RawFd.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}
