//! A child that runs in its parent's memory, on its own stack, while the calling thread waits for its exec.
//!
//! The child is `child::run`. Its parent sees to it that everything it needs is there before, that no signal handler
//! runs in it, and that it finds nobody else on its stack.

mod blocked;
mod child;
mod clone3;
mod memory;
mod raw;
mod report;
mod stack;

use std::{
    ffi::{CStr, c_int, c_void},
    io,
    os::fd::{FromRawFd, OwnedFd},
    process,
    sync::atomic::{AtomicBool, AtomicI32, Ordering::Relaxed},
};

use nix::errno::Errno;

use self::{
    blocked::AllBlocked,
    child::{Job, Program},
    clone3::clone3,
    stack::Stack,
};
use super::{Failure, Obstacle, Prepared, Spawned, Step, Way, pointers};
use crate::sys::fork_mark;

/// Starts a process by clone3 or clone; see [`super::spawn`].
pub(super) fn spawn(prepared: &Prepared, path: &CStr, way: Way) -> Result<Spawned, Obstacle> {
    // Without it nobody could tell a child that shares our memory from one that only believes so.
    let Some(generation) = fork_mark::wiped_generation() else {
        return Err(closed(libc::ENOSYS));
    };
    let stack = Stack::take().map_err(|source| Failure { step: Step::Start, source })?;
    let (argv, env) = (pointers(&prepared.argv), pointers(&prepared.env));
    // A child that changes its user gets a copy. In our memory it would be, for a moment, a process with that user's
    // rights in the memory of one with ours; the kernel answers by making that memory undumpable, for ever and for us
    // too: no core dumps, and a /proc/self that belongs to root.
    let copied = prepared.is_other_user();
    stack.report().clear();
    let job = Job {
        prepared,
        program: Program { path: path.as_ptr(), argv: argv.as_ptr(), env: env.as_ptr() },
        parent: process::id(),
        has_no_handlers: way == Way::Clone3,
        shares_memory: (!copied).then_some(generation),
        started: AtomicBool::new(false),
        report: stack.report(),
    };
    let _blocked = AllBlocked::new();
    let mut born = clone(&job, &stack, way, prepared.pidfd);
    if matches!(born, Err(libc::EMFILE | libc::ENFILE | libc::EINVAL | libc::EPERM)) && prepared.pidfd {
        // It goes without a pidfd too: there may be no descriptor, or a sandbox that knows no such flag.
        born = clone(&job, &stack, way, false);
    }
    let spawned = match born {
        Ok(spawned) => spawned,
        // Not there, or forbidden. Everything else (EAGAIN, ENOMEM) is about this moment.
        Err(errno @ (libc::ENOSYS | libc::EPERM | libc::EINVAL)) => return Err(closed(errno)),
        Err(errno) => {
            return Err(Failure { step: Step::Start, source: io::Error::from_raw_os_error(errno) }.into());
        }
    };
    if !copied && !job.started.load(Relaxed) {
        // An emulator (valgrind, qemu) has made a copy, which does nothing but end. It could not tell us of a failure,
        // for we do not wait there.
        reap(spawned.pid);
        return Err(Obstacle::Closed(io::Error::other("the child does not share its parent's memory")));
    }
    match stack.report().failure() {
        None => Ok(spawned),
        Some(failure) => {
            reap(spawned.pid);
            Err(failure.into())
        }
    }
}

/// Makes the child, and comes back when it has executed or ended.
fn clone(job: &Job<'_>, stack: &Stack, way: Way, wants_pidfd: bool) -> Result<Spawned, i32> {
    // In a child with a copy it has no say, but the kernel writes the number in the parent.
    let pidfd = AtomicI32::new(-1);
    let argument = (&raw const *job).cast_mut().cast::<c_void>();
    let mut flags = libc::CLONE_VFORK;
    if job.shares_memory.is_some() {
        flags |= libc::CLONE_VM;
    }
    if wants_pidfd {
        flags |= libc::CLONE_PIDFD;
    }
    let pid = if way == Way::Clone3 {
        let arguments = clone3::Arguments {
            flags: flags as u64 | clone3::CLEAR_SIGHAND,
            pidfd: pidfd.as_ptr() as u64,
            exit_signal: libc::SIGCHLD as u64,
            stack: stack.start() as u64,
            stack_size: stack.size() as u64,
            ..Default::default()
        };
        // SAFETY: the stack is ours until this function has returned, and so are the job and what it borrows: the
        // kernel lets us go on when the child has left our memory. `child::run` keeps to what that memory allows, see
        // there, and never returns.
        unsafe { clone3(&arguments, child::run, argument) }?
    } else {
        let top = stack.start().wrapping_byte_add(stack.size());
        // SAFETY: as above; libc's wrapper wants the other end of the stack, and the place of the pidfd where the
        // thread's id would go.
        let pid: c_int =
            unsafe { libc::clone(child::run, top, flags | libc::SIGCHLD, argument, pidfd.as_ptr()) };
        if pid < 0 {
            return Err(Errno::last_raw());
        }
        pid
    };
    // Before Linux 5.2 the flag is passed over.
    let pidfd = match pidfd.load(Relaxed) {
        ..0 => None,
        // SAFETY: the kernel has just made it for us.
        number => Some(unsafe { OwnedFd::from_raw_fd(number) }),
    };
    Ok(Spawned { pid, pidfd })
}

/// Takes the status of a child that has ended or is about to. Signals are blocked, so nothing interrupts it, and if
/// somebody else was faster that is fine.
fn reap(pid: i32) {
    // SAFETY: the call writes nothing with null pointers.
    let _ = unsafe { raw::call(libc::SYS_wait4, [pid as usize, 0, 0, 0]) };
}

fn closed(errno: i32) -> Obstacle {
    Obstacle::Closed(io::Error::from_raw_os_error(errno))
}
