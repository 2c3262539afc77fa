//! Trying out whether one may wait for a child: in a forked helper, for a filter may kill.

use std::{io, ptr};

use super::forked_helper::{self, Ended};

/// What `waitid` does: the helper exits with the error number, 0 if it works.
pub(crate) fn run() -> io::Result<Ended> {
    /// # Safety
    /// For a helper only: it has no children.
    unsafe fn helper() -> i32 {
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        // SAFETY: a null pointer is allowed for what is not wanted; errno is this thread's own.
        unsafe {
            let done = libc::syscall(
                libc::SYS_waitid,
                libc::P_ALL,
                0,
                ptr::null_mut::<libc::siginfo_t>(),
                options,
                ptr::null_mut::<libc::rusage>(),
            );
            // That there is nobody to wait for says that one may.
            if done == 0 || *libc::__errno_location() == libc::ECHILD { 0 } else { *libc::__errno_location() }
        }
    }
    // SAFETY: `helper` makes one raw system call, which changes nothing.
    unsafe { forked_helper::run(helper) }
}
