//! What the kernel knows about the calling thread.

use std::{fs, io};

use nix::unistd::{getpid, gettid};

/// Whether this is the main thread. In a forked child that is the thread that called fork(2).
pub(crate) fn is_main() -> bool {
    gettid() == getpid()
}

/// How many threads this process has.
pub(crate) fn count() -> io::Result<usize> {
    Ok(fs::read_dir("/proc/self/task")?.count())
}
