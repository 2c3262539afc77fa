//! A limit to how long a future may take.

use std::{
    error, fmt, io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use super::{Sleep, sleep};

/// Waits for a future, but not longer than `limit` (asyncio: `wait_for`). When the time is over the future is dropped
/// together with this one.
///
/// ```
/// use std::time::Duration;
///
/// let slow = loophost::time::sleep(Duration::MAX);
/// let result = loophost::run(loophost::time::timeout(Duration::from_millis(1), slow))?;
/// assert_eq!(result.unwrap_err().to_string(), "timed out");
/// # Ok::<(), loophost::Error>(())
/// ```
pub fn timeout<F: IntoFuture>(limit: Duration, future: F) -> Timeout<F::IntoFuture> {
    Timeout { future: Box::pin(future.into_future()), limit: sleep(limit) }
}

/// The future of [`timeout`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct Timeout<F> {
    future: Pin<Box<F>>,
    limit: Sleep,
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, TimedOut>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // What is ready counts, however late it is.
        if let Poll::Ready(output) = self.future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        Pin::new(&mut self.limit).poll(cx).map(|()| Err(TimedOut))
    }
}

/// The time was over first (asyncio: `TimeoutError`). As an [`io::Error`] it is `TimedOut`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("timed out")
    }
}

impl error::Error for TimedOut {}

impl From<TimedOut> for io::Error {
    fn from(error: TimedOut) -> Self {
        Self::new(io::ErrorKind::TimedOut, error)
    }
}
