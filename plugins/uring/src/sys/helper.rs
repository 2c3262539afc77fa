//! Trying io_uring where a seccomp filter may kill instead of refusing: in a forked helper.

use std::{io, ptr};

/// How the helper ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By itself: an error number, or 0 if io_uring works.
    Exited(i32),
    /// A signal killed it.
    Killed(i32),
}

/// Forks a helper that makes a ring and enters it, and waits for its end.
///
/// # Errors
/// The fork failed.
pub(crate) fn run() -> io::Result<Ended> {
    // SAFETY: without CLONE_VM the child has its own copy of everything; no exit signal, for SIGCHLD is for the children
    // that the program knows. The order of the last two arguments differs between machines; they are null.
    let pid = unsafe { libc::syscall(libc::SYS_clone, 0usize, 0usize, 0usize, 0usize, 0usize) as i32 };
    match pid {
        // SAFETY: this is the helper.
        0 => unsafe { life() },
        ..0 => return Err(io::Error::last_os_error()),
        _ => {}
    }
    let mut status = 0;
    // SAFETY: `status` is valid for writing; __WALL finds children without an exit signal.
    while unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) } < 0 {
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::EINTR) {
            return Err(error);
        }
    }
    if libc::WIFSIGNALED(status) {
        return Ok(Ended::Killed(libc::WTERMSIG(status)));
    }
    Ok(Ended::Exited(libc::WEXITSTATUS(status)))
}

/// What the helper does: raw system calls only, for the locks of the program's other threads may be held for ever in it.
///
/// # Safety
/// In the helper only.
unsafe fn life() -> ! {
    /// `struct io_uring_params` of linux/io_uring.h: 120 bytes, all zero for a plain ring.
    #[repr(C, align(8))]
    struct Params([u8; 120]);
    let mut params = Params([0; 120]);
    let no_handler: libc::sighandler_t = libc::SIG_DFL;
    // SAFETY: the calls take integers and memory of this function; everything they change is the helper's own. A filter
    // that kills would leave a core dump of the whole program, or find a handler of the program's for its signal.
    let errno = unsafe {
        libc::syscall(libc::SYS_prctl, libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
        libc::signal(libc::SIGSYS, no_handler);
        let ring = libc::syscall(libc::SYS_io_uring_setup, 1, &raw mut params);
        if ring < 0 || libc::syscall(libc::SYS_io_uring_enter, ring, 0, 0, 0, ptr::null::<u8>(), 0) < 0 {
            *libc::__errno_location()
        } else {
            0
        }
    };
    loop {
        // SAFETY: the call takes an integer.
        unsafe { libc::syscall(libc::SYS_exit_group, errno) };
    }
}
