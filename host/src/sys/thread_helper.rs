//! Trying out threads: in a forked helper, for a filter may kill.

use std::{io, ptr};

use super::forked_helper::{self, Ended, exit, fork};

/// What making a thread does: the helper exits with the error number, 0 if it works.
pub(crate) fn run() -> io::Result<Ended> {
    // SAFETY: `helper` makes raw system calls only; its child ends at once, and it waits for it.
    unsafe { forked_helper::run(helper) }
}

/// Asks the kernel for one task more as the C library does for a thread: by clone3, and by clone only where that one is
/// not there; every other error is final. A process is as good as a thread here: filters and limits see the same call. With
/// the program and the helper that makes three, as many as `run` needs.
///
/// # Safety
/// For a helper only: the child runs none of the program's code, but has a copy of everything.
unsafe fn helper() -> i32 {
    /// `struct clone_args` of linux/sched.h in its first version; all zero makes a copy of the process that tells nobody
    /// when it ends.
    #[repr(C, align(8))]
    struct Arguments([u8; 64]);
    let arguments = Arguments([0; 64]);
    // SAFETY: the kernel reads one `clone_args` and writes nothing to null pointers; without CLONE_VM the child has its
    // own copy of everything and goes on with the caller's stack; errno is this thread's own.
    unsafe {
        let errno = || *libc::__errno_location();
        let mut pid = libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<Arguments>());
        if pid < 0 && errno() == libc::ENOSYS {
            pid = fork(0).into();
        }
        match pid {
            0 => exit(0),
            ..0 => errno(),
            _ => {
                // Left to init it would count against the user's limit until that one gets to it.
                let (status, usage) = (ptr::null_mut::<i32>(), ptr::null_mut::<libc::rusage>());
                libc::syscall(libc::SYS_wait4, pid, status, libc::__WALL, usage);
                0
            }
        }
    }
}
