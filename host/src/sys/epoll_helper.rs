//! Trying out epoll.

use std::{io, ptr};

use super::forked_helper::{self, Ended};

/// The helper's exit status if a descriptor that is ready is not reported; other ones are error numbers, 0 if all works.
pub(crate) const NOT_REPORTED: i32 = 255;

/// Makes an epoll and waits for a descriptor that is ready.
pub(crate) fn run() -> io::Result<Ended> {
    // SAFETY: `helper` makes raw system calls only; the descriptors go with the helper.
    unsafe { forked_helper::run(helper) }
}

/// # Safety
/// For a helper only: its descriptors are never closed.
unsafe fn helper() -> i32 {
    // SAFETY: the calls take integers, or pointers to locals of the kernel's layout; errno is this thread's own.
    unsafe {
        let errno = || *libc::__errno_location();
        let epoll = libc::syscall(libc::SYS_epoll_create1, libc::EPOLL_CLOEXEC);
        let ready = libc::syscall(libc::SYS_eventfd2, 1, libc::EFD_CLOEXEC);
        if epoll < 0 || ready < 0 {
            return errno();
        }
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
        if libc::syscall(libc::SYS_epoll_ctl, epoll, libc::EPOLL_CTL_ADD, ready, &raw mut event) < 0 {
            return errno();
        }
        let no_mask = ptr::null::<libc::sigset_t>();
        match libc::syscall(libc::SYS_epoll_pwait, epoll, &raw mut event, 1, 0, no_mask, 8usize) {
            1 => 0,
            0 => NOT_REPORTED,
            _ => errno(),
        }
    }
}
