//! Signals of this process and its group, where nix has no safe name for the call or the order of calls matters.

use std::{io, mem::MaybeUninit};

use loophost::process::SignalSet;
use nix::{
    sys::signal::{SigSet, Signal, killpg, raise},
    unistd::getpgrp,
};

/// The signals that have arrived and wait because they are blocked.
pub(crate) fn pending() -> SignalSet {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: the call fills the set, and if it could fail the set would be zeroes, which is an empty one.
    let set = unsafe {
        libc::sigpending(set.as_mut_ptr());
        set.assume_init()
    };
    // SAFETY: a valid set; a number that the C library refuses gives −1.
    (1..=64).filter(|signum| unsafe { libc::sigismember(&raw const set, *signum) } == 1).collect()
}

/// Gives SIGCHLD its default action. Whoever has started us may have ignored it, which an exec does not change, and
/// then the kernel throws the statuses of our children away.
pub(crate) fn stop_ignoring_children() -> io::Result<()> {
    // SAFETY: SIG_DFL runs no code.
    match unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) } {
        libc::SIG_ERR => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Has a write beyond the limit of a file's size fail (`EFBIG`) instead of ending this process. A program that is started
/// gets the default action again, as of SIGPIPE, which Rust's runtime ignores for the same reason.
pub(crate) fn stop_dying_of_large_files() {
    // SAFETY: SIG_IGN runs no code. For a valid signal the call cannot fail.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Stops this process's group as the terminal's ^Z does, and returns when it was continued; false if the kernel stopped
/// nothing, because nobody could continue it: PID 1, or an orphaned group, such as that of a session's leader.
///
/// SIGTSTP and SIGCONT must be blocked in all threads but for this one's time here, and nobody may read them from a
/// signalfd now.
pub(crate) fn stop_own_group() -> io::Result<bool> {
    let mut stop = SigSet::empty();
    stop.add(Signal::SIGTSTP);
    stop.thread_unblock()?;
    let sent = killpg(getpgrp(), Signal::SIGTSTP);
    // Whoever continues us sends SIGCONT, and stopping us has thrown away all that came before.
    let continued = pending().contains(libc::SIGCONT);
    stop.thread_block()?;
    sent?;
    Ok(continued)
}

/// Ends this process by a signal that is blocked; returns if that is impossible, as for PID 1.
pub(crate) fn end_by(signal: Signal) -> io::Result<()> {
    let mut set = SigSet::empty();
    set.add(signal);
    set.thread_unblock()?;
    Ok(raise(signal)?)
}
