//! Trying out io_uring.

use std::io;

use super::forked_helper::{self, Ended};

/// What `io_uring_setup` does: the helper exits with its error number, 0 if it works.
pub(crate) fn run() -> io::Result<Ended> {
    // SAFETY: `helper` makes one raw system call; the descriptor goes with the helper.
    unsafe { forked_helper::run(helper) }
}

/// # Safety
/// For a helper only: the ring's descriptor is never closed.
unsafe fn helper() -> i32 {
    /// `struct io_uring_params` of linux/io_uring.h: 120 bytes, all zero for a plain ring.
    #[repr(C, align(8))]
    struct Params([u8; 120]);
    let mut params = Params([0; 120]);
    // SAFETY: the kernel reads and writes one `io_uring_params`; errno is this thread's own.
    unsafe {
        match libc::syscall(libc::SYS_io_uring_setup, 1, &raw mut params) {
            0.. => 0,
            _ => *libc::__errno_location(),
        }
    }
}
