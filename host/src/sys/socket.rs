//! Sockets that the standard library does not make.

use std::{
    io,
    os::fd::{FromRawFd, OwnedFd},
};

/// A TCP socket for IPv4 that is not connected, close-on-exec.
pub(crate) fn stream() -> io::Result<OwnedFd> {
    // SAFETY: the call takes integers.
    match unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: the kernel has just made it, and it is nobody else's.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
    }
}
