//! Level-triggered registrations on an epoll descriptor that is not ours.

use std::{io, os::fd::RawFd};

use crate::Interest;

/// Begins to watch `fd`; events carry `data`.
pub(crate) fn add(epoll: RawFd, fd: RawFd, data: u64, interest: Interest) -> io::Result<()> {
    control(epoll, libc::EPOLL_CTL_ADD, fd, data, interest)
}

/// Changes what `fd` is watched for.
pub(crate) fn modify(epoll: RawFd, fd: RawFd, data: u64, interest: Interest) -> io::Result<()> {
    control(epoll, libc::EPOLL_CTL_MOD, fd, data, interest)
}

fn control(epoll: RawFd, operation: i32, fd: RawFd, data: u64, interest: Interest) -> io::Result<()> {
    let mut events = 0;
    if interest.contains(Interest::READ) {
        events |= libc::EPOLLIN | libc::EPOLLRDHUP;
    }
    if interest.contains(Interest::WRITE) {
        events |= libc::EPOLLOUT;
    }
    let mut event = libc::epoll_event { events: events as u32, u64: data };
    // SAFETY: the kernel reads the event during the call only, and checks both descriptors itself.
    match unsafe { libc::epoll_ctl(epoll, operation, fd, &raw mut event) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
