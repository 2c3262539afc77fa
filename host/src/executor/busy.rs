//! Other threads that use an idle loop for a moment.

use std::thread;

use crate::{Error, ErrorCode};

/// Calls `f` until it is not `Busy`: an idle loop, or the list of its tasks, is used by another thread, which cancels a
/// timer, ends watching a descriptor or aborts a task, and is done with it at once.
#[inline]
pub(crate) fn wait_while_busy<T>(mut f: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    loop {
        match f() {
            Err(error) if error.code() == ErrorCode::BUSY => thread::yield_now(),
            result => return result,
        }
    }
}
