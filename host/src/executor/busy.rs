//! Other threads that use an idle loop for a moment.

use std::thread;

use crate::{Error, ErrorCode};

/// Calls `f` until it is not `Busy`: an idle loop, or the list of its tasks, is used by another thread, which cancels a
/// timer, ends watching a descriptor or aborts a task, and is done with it at once.
// Inlined but for the waiting, for each task leaves its list through it.
#[inline(always)]
pub(crate) fn wait_while_busy<T>(mut f: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    match f() {
        Err(error) if error.code() == ErrorCode::BUSY => again(f),
        result => result,
    }
}

#[cold]
fn again<T>(mut f: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    loop {
        thread::yield_now();
        match f() {
            Err(error) if error.code() == ErrorCode::BUSY => {}
            result => return result,
        }
    }
}
