//! What is held of a task.

use std::{
    any::Any,
    fmt, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use super::{
    JoinError,
    caught::{Caught, drop_caught},
};
use crate::executor::{Output, TaskId};

/// Waits for a task: a future of its output.
///
/// Dropped, it leaves the task alone. Not to be polled again after it was ready: then it says that the task was cancelled.
pub struct JoinHandle<T> {
    /// `None` only while it is dropped.
    output: Option<Output<T>>,
    id: TaskId,
}

impl<T> JoinHandle<T> {
    pub(super) fn new((output, id): (Output<T>, TaskId)) -> Self {
        Self { output: Some(output), id }
    }

    /// Ends the task at its next turn: its future is dropped, and then this handle's output is an error that
    /// [`is_cancelled`](JoinError::is_cancelled) (asyncio: `Task.cancel`, but the future is not asked). A task that has
    /// finished by then stays finished. Any thread.
    pub fn abort(&self) {
        if !self.is_finished() {
            self.id.abort();
        }
    }

    /// Whether the task is over. Any thread.
    pub fn is_finished(&self) -> bool {
        self.output.as_ref().is_none_or(Output::is_finished)
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let output = self.output.as_mut().expect("it is taken by the drop only");
        Poll::Ready(match ready!(Pin::new(output).poll(cx)) {
            Some(kept) => kept.take(),
            None => Err(JoinError::cancelled()),
        })
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if let Some(output) = self.output.take() {
            output.detach();
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}

/// What a task has ended with, until somebody takes it. If nobody does, it is dropped, and a panic meanwhile is a line in
/// the log: whoever has spawned a task and let go of it is not to be ended by it.
pub(crate) struct Kept<T>(Ended<T>);

enum Ended<T> {
    Output(T),
    /// Boxed twice, for one word: then this is returned in registers with a small output.
    Panic(Box<Box<dyn Any + Send>>),
    Taken,
}

impl<T> Kept<T> {
    #[inline]
    pub(crate) fn new(caught: Caught<T>) -> Self {
        Self(match caught {
            Ok(output) => Ended::Output(output),
            Err(payload) => Ended::Panic(Box::new(payload)),
        })
    }

    #[inline]
    fn take(mut self) -> Result<T, JoinError> {
        match mem::replace(&mut self.0, Ended::Taken) {
            Ended::Output(output) => Ok(output),
            Ended::Panic(payload) => Err(JoinError::panicked(*payload)),
            Ended::Taken => unreachable!("it is taken once"),
        }
    }
}

impl<T> Drop for Kept<T> {
    #[inline]
    fn drop(&mut self) {
        match mem::replace(&mut self.0, Ended::Taken) {
            Ended::Taken => {}
            ended => drop_caught("a task's output", || drop(ended)),
        }
    }
}
