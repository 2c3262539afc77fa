//! What is held of a task.

use std::{
    any::Any,
    fmt, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use super::JoinError;
use crate::executor::{Output, TaskId};

/// Waits for a task: a future of its output.
///
/// Dropped, it leaves the task alone. Polled again after it was ready it panics.
pub struct JoinHandle<T> {
    /// `None` only while it is dropped.
    output: Option<Output<T>>,
    id: TaskId,
}

/// A task's output, or what it has panicked with.
pub(crate) type Caught<T> = Result<T, Box<dyn Any + Send>>;

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
    /// Boxed twice, for one word: it is copied with every small output.
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
        let ended = match mem::replace(&mut self.0, Ended::Taken) {
            Ended::Taken => return,
            ended => ended,
        };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(ended))) {
            tracing::error!("a task's output has panicked while it was dropped");
            drop_payload(payload);
        }
    }
}

/// Drops what somebody has panicked with. That may panic too: then what it has panicked with is leaked.
pub(crate) fn drop_payload(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(second);
    }
}

/// Polls a future whose panic is a value. One that has panicked is not polled again.
#[inline]
pub(crate) fn poll_caught<F: Future>(future: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<Caught<F::Output>> {
    match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(payload) => Poll::Ready(Err(payload)),
    }
}
