//! Waiting for a signal.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::AcqRel, Ordering::Release},
    },
    task::{Context, Poll},
};

use atomic_waker::AtomicWaker;
use futures_core::Stream;

use super::{subscribe, unsubscribe};
use crate::{Error, HandleId, RepeatCallback};

/// Waits for signal `signum` from now on, instead of its default action (asyncio: `add_signal_handler`). Any thread, on
/// whatever loop, also on several at once: all of them are told.
///
/// ```
/// use nix::sys::signal::{Signal, raise};
///
/// loophost::run(async {
///     let mut hangups = loophost::signal::signal(Signal::SIGHUP as i32)?;
///     raise(Signal::SIGHUP).unwrap();
///     hangups.recv().await;
///     Ok::<(), loophost::Error>(())
/// })?
/// # ;
/// # Ok::<(), loophost::Error>(())
/// ```
///
/// # Errors
/// Those of [`subscribe`].
pub fn signal(signum: i32) -> Result<Arrivals, Error> {
    let shared = Arc::new(Shared::default());
    let theirs = shared.clone();
    let callback = RepeatCallback::new(move |_| {
        theirs.has_come.store(true, Release);
        theirs.waker.wake();
        Ok(())
    });
    Ok(Arrivals { subscription: subscribe(signum, callback)?, shared })
}

/// The arrivals of one signal, also as a [`Stream`] that does not end. What comes while nobody waits is kept, as one
/// arrival. The default action is back when the last of these is dropped.
pub struct Arrivals {
    subscription: HandleId,
    shared: Arc<Shared>,
}

/// What the broker's callback and the future have in common.
#[derive(Default)]
struct Shared {
    has_come: AtomicBool,
    waker: AtomicWaker,
}

impl Arrivals {
    /// Waits until the signal arrives; ready at once if it has since the last time. Cancel-safe.
    pub async fn recv(&mut self) {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await;
    }

    fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.waker.register(cx.waker());
        if self.shared.has_come.swap(false, AcqRel) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Stream for Arrivals {
    type Item = ();

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<()>> {
        self.poll_recv(cx).map(Some)
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        // It exists, so nothing can be wrong but the broker.
        if let Err(error) = unsubscribe(self.subscription) {
            tracing::error!("ending a signal's subscription: {error}");
        }
    }
}

impl fmt::Debug for Arrivals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrivals").field("subscription", &self.subscription).finish_non_exhaustive()
    }
}
