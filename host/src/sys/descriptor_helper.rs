//! Trying out the descriptors that the thread for signals waits for: in a forked helper, for a filter may kill.

use std::io;

use super::forked_helper::{self, Ended};

/// What `signalfd4` does: the helper exits with the error number, 0 if it works.
pub(crate) fn signalfd() -> io::Result<Ended> {
    /// # Safety
    /// For a helper only: its descriptor is never closed.
    unsafe fn helper() -> i32 {
        let none = 0u64;
        // SAFETY: the kernel reads a set of 8 bytes; errno is this thread's own.
        unsafe {
            let fd = libc::syscall(
                libc::SYS_signalfd4,
                -1,
                &raw const none,
                size_of_val(&none),
                libc::SFD_CLOEXEC,
            );
            if fd < 0 { *libc::__errno_location() } else { 0 }
        }
    }
    // SAFETY: `helper` makes one raw system call; the descriptor goes with the helper.
    unsafe { forked_helper::run(helper) }
}

/// What `eventfd2` does: the helper exits with the error number, 0 if it works.
pub(crate) fn eventfd() -> io::Result<Ended> {
    /// # Safety
    /// For a helper only: its descriptor is never closed.
    unsafe fn helper() -> i32 {
        // SAFETY: the call takes integers; errno is this thread's own.
        unsafe {
            let fd = libc::syscall(libc::SYS_eventfd2, 0, libc::EFD_CLOEXEC);
            if fd < 0 { *libc::__errno_location() } else { 0 }
        }
    }
    // SAFETY: `helper` makes one raw system call; the descriptor goes with the helper.
    unsafe { forked_helper::run(helper) }
}
