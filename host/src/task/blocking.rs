//! What would hold up the loop, in a thread of a pool.

use super::{JoinHandle, spawn};

/// Calls `f` in a thread of a pool that grows and shrinks with its work (asyncio: `run_in_executor`).
///
/// Aborted, it is not called if it has not begun; what has begun goes on to its end, and its result is dropped.
///
/// # Panics
/// If no loop runs in this thread.
#[track_caller]
pub fn spawn_blocking<T, F>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    spawn(blocking::unblock(f))
}
