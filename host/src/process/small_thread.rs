//! Threads that wait.

use std::{io, thread};

use nix::sys::signal::{SigSet, SigmaskHow};

/// Address space, not memory: a page is only used once it was touched. More than the waiting itself needs, because
/// handlers of others may run on it.
const STACK: usize = 256 * 1024;

/// Starts a thread with a small stack in which all signals are blocked: the program's signal handlers never run there.
///
/// # Errors
/// `EAGAIN` when the process, or its container, may have no more threads.
pub(crate) fn spawn_small_thread(name: String, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    // A thread starts with the mask of its creator; blocked inside it, there would be a moment without.
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let started = thread::Builder::new().name(name).stack_size(STACK).spawn(body);
    before.thread_set_mask()?;
    started.map(drop)
}
