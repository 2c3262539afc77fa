//! The door to the operating system: system calls on descriptors that callers lend by number, and on memory whose stay
//! they have promised.

mod attempt;
mod socket;
mod transfer;

use std::{
    io,
    os::fd::{FromRawFd, OwnedFd},
};

use loophost_plugin_api::Interest;

pub(crate) use attempt::{Attempt, Attempted};

/// An error if `fd` is not open, or always ready (`EPERM`, as epoll has it).
pub(crate) fn check_pollable(fd: i32) -> io::Result<()> {
    match file_type(fd)? {
        libc::S_IFREG | libc::S_IFDIR => Err(io::Error::from_raw_os_error(libc::EPERM)),
        _ => Ok(()),
    }
}

/// Another descriptor for the same open file, close-on-exec.
pub(crate) fn duplicate(fd: i32) -> io::Result<OwnedFd> {
    // SAFETY: the kernel checks the descriptor; the new one is nobody else's.
    unsafe { Ok(OwnedFd::from_raw_fd(checked(libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0))?)) }
}

/// What kind of file it is: the `S_IF` bits.
fn file_type(fd: i32) -> io::Result<libc::mode_t> {
    // SAFETY: all-zero is a valid `stat`, which the kernel writes; it checks the descriptor.
    let status = unsafe {
        let mut status: libc::stat = std::mem::zeroed();
        checked(libc::fstat(fd, &raw mut status))?;
        status
    };
    Ok(status.st_mode & libc::S_IFMT)
}

/// What a descriptor is ready for now.
fn ready(fd: i32, interest: Interest) -> io::Result<Interest> {
    let mut events = 0;
    if interest.contains(Interest::READ) {
        events |= libc::POLLIN;
    }
    if interest.contains(Interest::WRITE) {
        events |= libc::POLLOUT;
    }
    let mut entry = libc::pollfd { fd, events, revents: 0 };
    // SAFETY: one entry is lent for the call; the kernel checks the descriptor.
    checked(unsafe { libc::poll(&raw mut entry, 1, 0) })?;
    if entry.revents & libc::POLLNVAL != 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    let is = |bits: i16, direction| if entry.revents & bits != 0 { direction } else { Interest::NONE };
    let over = libc::POLLHUP | libc::POLLERR;
    let found = is(libc::POLLIN | over, Interest::READ).union(is(libc::POLLOUT | over, Interest::WRITE));
    Ok(found.intersection(interest))
}

/// close(2). On Linux the descriptor is gone also if it fails.
fn close(fd: i32) -> io::Result<i64> {
    // SAFETY: the submitter of the operation gives the descriptor away; the kernel checks it.
    checked(unsafe { libc::close(fd) }).map(i64::from)
}

fn checked(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn counted(result: isize) -> io::Result<i64> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i64) }
}
