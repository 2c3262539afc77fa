//! Spawning from anywhere.

use std::sync::Arc;

use super::JoinHandle;
use crate::{
    Error,
    executor::{Executor, Output, TaskId},
    policy, running,
};

/// Spawns tasks on one loop from any thread (asyncio: `run_coroutine_threadsafe`).
///
/// ```
/// let doubled = loophost::run(async {
///     let spawner = loophost::task::Spawner::current().expect("a loop runs here");
///     let thread = std::thread::spawn(move || spawner.spawn(async { 2 * 21 }));
///     let task = loophost::spawn_blocking(|| thread.join().unwrap()).await.unwrap();
///     task.await.unwrap()
/// });
/// assert_eq!(doubled.unwrap(), 42);
/// ```
#[derive(Clone, Debug)]
pub struct Spawner(Arc<Executor>);

impl Spawner {
    /// That of the loop which runs in this thread.
    ///
    /// # Errors
    /// `NoRunningLoop`.
    pub fn current() -> Result<Self, Error> {
        running::executor().map(Self).map_or_else(|| Err(policy::no_running_loop()), Ok)
    }

    /// See [`spawn`](super::spawn). Any thread. On a loop that has been closed the task ends at once, as if it was
    /// aborted.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        JoinHandle::new(self.0.spawn(future))
    }
}

/// Spawns on the loop that runs in this thread.
#[track_caller]
#[inline(always)]
pub(super) fn here<T>(spawn: impl FnOnce(&Arc<Executor>) -> (Output<T>, TaskId)) -> JoinHandle<T> {
    match running::with_executor(spawn) {
        Some(spawned) => JoinHandle::new(spawned),
        None => panic!("{}: spawn inside of loophost::run, or with a Spawner", policy::no_running_loop()),
    }
}
