//! Tasks: futures that run side by side on an event loop (asyncio: `Task`).
//!
//! A task belongs to the loop that it was spawned on and runs in that loop's thread only. Dropping its [`JoinHandle`] lets
//! it go on; [`JoinHandle::abort`] ends it. A task that panics ends with [`JoinError`], and the loop goes on.

mod blocking;
pub(crate) mod caught;
mod join_error;
mod join_handle;
mod spawner;
mod yield_now;

pub use blocking::spawn_blocking;
pub use join_error::JoinError;
pub use join_handle::JoinHandle;
pub(crate) use join_handle::Kept;
pub use spawner::Spawner;
pub use yield_now::yield_now;

/// Makes a task of a future on the loop that runs in this thread (asyncio: `create_task`). It gets its first turn after
/// everything that is due already. Anybody may wake it, and its [`JoinHandle`] may go to other threads; for a future that may not, there is
/// [`spawn_local`].
///
/// ```
/// loophost::run(async {
///     let task = loophost::spawn(async { 6 * 7 });
///     assert_eq!(task.await?, 42);
///     Ok::<(), loophost::task::JoinError>(())
/// })
/// # .unwrap().unwrap();
/// ```
///
/// # Panics
/// If no loop runs in this thread. [`Spawner`] spawns from elsewhere.
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    spawner::here(|executor| executor.spawn(future))
}

/// As [`spawn`], for a future that cannot leave this thread.
///
/// A loop that is run or closed by another thread leaks such a task.
///
/// # Panics
/// If no loop runs in this thread.
#[track_caller]
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    spawner::here(|executor| executor.spawn_local(future))
}
