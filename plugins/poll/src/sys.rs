//! The door to the operating system: poll(2) on descriptors that callers lend by number.

use std::{io, time::Duration};

use libc::pollfd;

/// Waits until one of `fds` is ready or `timeout` (rounded up to milliseconds) has passed; returns how many are.
pub(crate) fn poll(fds: &mut [pollfd], timeout: Option<Duration>) -> io::Result<usize> {
    let timeout = match timeout {
        None => -1,
        Some(limit) => i32::try_from(limit.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX),
    };
    // SAFETY: the kernel reads and writes within the slice, whose length it is given; it checks the descriptors.
    let ready = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout) };
    usize::try_from(ready).map_err(|_| io::Error::last_os_error())
}

/// An error if `fd` is not open.
pub(crate) fn check_open(fd: i32) -> io::Result<()> {
    // SAFETY: F_GETFD takes no argument and changes nothing; the kernel checks the descriptor.
    match unsafe { libc::fcntl(fd, libc::F_GETFD) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
