//! Panics of what a task is made of, as values.

use std::{
    any::Any,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

/// A result, or what somebody has panicked with instead.
pub(crate) type Caught<T> = Result<T, Box<dyn Any + Send>>;

/// Polls a future whose panic is a value. One that has panicked is not polled again.
#[inline]
pub(crate) fn poll_caught<F: Future>(future: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<Caught<F::Output>> {
    match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(payload) => Poll::Ready(Err(payload)),
    }
}

/// Drops something whose panic is a line in the log.
#[inline]
pub(crate) fn drop_caught(what: &str, drop: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(drop)) {
        has_panicked(what, payload);
    }
}

#[cold]
fn has_panicked(what: &str, payload: Box<dyn Any + Send>) {
    // Who subscribes to the log may panic as well.
    let tell = || tracing::error!("{what} has panicked while it was dropped");
    if let Err(second) = catch_unwind(AssertUnwindSafe(tell)) {
        drop_payload(second);
    }
    drop_payload(payload);
}

/// Drops what somebody has panicked with. That may panic too: then what it has panicked with is leaked.
pub(crate) fn drop_payload(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(second);
    }
}
