//! Something that comes again and again.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use futures_core::Stream;

use super::{Sleep, sleep_until};

/// Ticks every `period`, for the first time one period from now.
///
/// ```
/// use std::time::Duration;
///
/// loophost::run(async {
///     let mut interval = loophost::time::interval(Duration::from_millis(1));
///     for _ in 0..3 {
///         interval.tick().await;
///     }
/// })?;
/// # Ok::<(), loophost::Error>(())
/// ```
///
/// # Panics
/// If the period is zero.
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    assert!(!period.is_zero(), "an interval needs a period that is not zero");
    Interval { period, next: super::sleep(period) }
}

/// The ticks of [`interval`], also as a [`Stream`] that does not end.
///
/// Ticks stay on the grid of their period: one that is taken late does not delay the next. Those that nobody has waited for
/// are skipped.
#[derive(Debug)]
pub struct Interval {
    period: Duration,
    next: Sleep,
}

impl Interval {
    /// Waits for the next tick; returns the time that it was planned for. Cancel-safe: dropped before it is ready, it loses no tick.
    pub async fn tick(&mut self) -> Instant {
        std::future::poll_fn(|cx| self.poll_tick(cx)).await
    }

    fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(Pin::new(&mut self.next).poll(cx));
        let planned = self.next.deadline().expect("one that never comes is never ready");
        let late = Instant::now().saturating_duration_since(planned);
        let missed = late.as_nanos() / self.period.as_nanos();
        let periods = u32::try_from(missed + 1).unwrap_or(u32::MAX);
        self.next = match self.period.checked_mul(periods).and_then(|time| planned.checked_add(time)) {
            Some(next) => sleep_until(next),
            None => super::sleep(Duration::MAX),
        };
        Poll::Ready(planned)
    }
}

impl Stream for Interval {
    type Item = Instant;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Instant>> {
        self.poll_tick(cx).map(Some)
    }
}
