//! Trying out system calls where a seccomp filter may kill instead of refusing: in a forked helper.

use std::io;

use nix::sys::signal::{SigSet, SigmaskHow};

/// How a helper ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By itself, with this status.
    Exited(i32),
    /// A signal killed it: 31, SIGSYS, is a filter's way to forbid a system call.
    Killed(i32),
}

/// Forks a helper, which lives as long as `life` takes, and waits for it: a fraction of a millisecond. What `life` gives
/// is the helper's exit status, 0 to 255.
///
/// # Safety
/// `life` makes raw system calls and nothing else, for the locks of the program's other threads may be held for ever in
/// the helper; and it changes nothing but the helper.
///
/// # Errors
/// The fork failed.
pub(crate) unsafe fn run(life: unsafe fn() -> i32) -> io::Result<Ended> {
    // Blocked, a signal that a filter raises kills in spite of any handler; and no handler of the program runs in the
    // helper.
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    // SAFETY: the caller's promise.
    let ended = unsafe { fork_and_wait(life) };
    before.thread_set_mask()?;
    ended
}

/// # Safety
/// As [`run`].
unsafe fn fork_and_wait(life: unsafe fn() -> i32) -> io::Result<Ended> {
    // No exit signal: SIGCHLD is for the children that the program knows. A raw call, so that no atfork handler runs.
    let pid = fork(0);
    match pid {
        0 => {
            // SAFETY: PR_SET_DUMPABLE takes integers. A filter that kills would leave a core dump of the whole program.
            unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
            // SAFETY: this is the helper, and the caller has promised the rest.
            exit(unsafe { life() })
        }
        ..0 => return Err(io::Error::last_os_error()),
        _ => {}
    }
    let mut status = 0;
    // SAFETY: `status` is valid for writing; __WALL finds children without an exit signal.
    while unsafe { libc::waitpid(pid, &mut status, libc::__WALL) } < 0 {
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

/// fork(2) without what libc does around it; 0 in the child.
pub(super) fn fork(exit_signal: libc::c_ulong) -> i32 {
    // SAFETY: without CLONE_VM the child has its own copy of everything, and with no stack given it goes on with that
    // of the caller. The order of the last two arguments differs between machines; they are null.
    unsafe { libc::syscall(libc::SYS_clone, exit_signal, 0usize, 0usize, 0usize, 0usize) as i32 }
}

/// Ends the helper without running anything of the program's.
pub(super) fn exit(status: i32) -> ! {
    loop {
        // SAFETY: the call takes an integer.
        unsafe { libc::syscall(libc::SYS_exit_group, status) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_helper_is_heard_of_however_it_ends() {
        unsafe fn exits() -> i32 {
            7
        }
        /// As a filter that kills does it.
        unsafe fn is_killed() -> i32 {
            // SAFETY: the calls take integers; the signal goes to the helper itself.
            unsafe {
                let own = libc::syscall(libc::SYS_getpid);
                libc::syscall(libc::SYS_kill, own, libc::SIGKILL);
            }
            7
        }
        // SAFETY: both make raw system calls only.
        let (exited, killed) = unsafe { (run(exits).unwrap(), run(is_killed).unwrap()) };
        assert_eq!((exited, killed), (Ended::Exited(7), Ended::Killed(libc::SIGKILL)));
    }
}
