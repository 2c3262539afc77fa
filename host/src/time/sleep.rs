//! Waiting for a time.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Acquire, Ordering::Release},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use atomic_waker::AtomicWaker;

use crate::{Callback, HandleId, LoopHandle, executor, policy, running, sys::fork_mark};

/// Waits for this long (asyncio: `sleep`). The time counts from this call. A time that is too long for the clock, some
/// 580 years, is for ever; none at all is ready at once, without a turn of the loop:
/// for that there is [`yield_now`](crate::task::yield_now).
pub fn sleep(time: Duration) -> Sleep {
    Sleep { deadline: Instant::now().checked_add(time), timer: None }
}

/// Waits until then; ready at once if that is over.
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { deadline: Some(deadline), timer: None }
}

/// The future of [`sleep`]. Dropped, it leaves nothing behind.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Sleep {
    /// `None`: for ever.
    deadline: Option<Instant>,
    timer: Option<Timer>,
}

impl Sleep {
    /// When it is over; `None` for never.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

impl Future for Sleep {
    type Output = ();

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let left = deadline.saturating_duration_since(Instant::now());
        // A timer of another loop is cancelled: this future has moved to the one that runs here.
        let timer = self.timer.take().filter(Timer::is_here);
        if left.is_zero() || timer.as_ref().is_some_and(Timer::is_due) {
            return Poll::Ready(());
        }
        let timer = timer.unwrap_or_else(|| Timer::start(left));
        timer.shared.waker.register(cx.waker());
        // It runs in this thread, so it cannot become due in between.
        self.timer = Some(timer);
        Poll::Pending
    }
}

/// A timer of a loop, cancelled when it is dropped.
struct Timer {
    event_loop: LoopHandle,
    id: HandleId,
    shared: Arc<Shared>,
    /// The process whose loop it is.
    generation: u64,
}

/// What the loop's callback and the future have in common.
#[derive(Default)]
struct Shared {
    is_due: AtomicBool,
    waker: AtomicWaker,
}

impl Timer {
    /// # Panics
    /// If no loop runs here, or it takes no timers.
    #[track_caller]
    fn start(left: Duration) -> Self {
        let event_loop = policy::get_running_loop()
            .unwrap_or_else(|error| panic!("{error}: await inside of loophost::run"));
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let callback = Callback::new(move |_| {
            theirs.is_due.store(true, Release);
            if let Some(waker) = theirs.waker.take() {
                executor::wake_with_turn(|| waker.wake());
            }
            Ok(())
        });
        match event_loop.call_later(left, callback) {
            Ok(id) => Self { event_loop, id, shared, generation: fork_mark::generation() },
            Err(error) => panic!("{}: a timer cannot be started: {error}", event_loop.name()),
        }
    }

    fn is_here(&self) -> bool {
        running::is_running(&self.event_loop)
    }

    fn is_due(&self) -> bool {
        self.shared.is_due.load(Acquire)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // In a forked child the timer is the parent's.
        if self.is_due() || self.generation != fork_mark::generation() {
            return;
        }
        self.shared.waker.take();
        // What does not work is a loop that is closed, and with it all its timers.
        if self.is_here() {
            let _ = self.event_loop.cancel(self.id);
        } else {
            let (event_loop, id) = (self.event_loop.clone(), self.id);
            let cancel = Callback::new(move |_| event_loop.cancel(id).map(drop));
            let _ = self.event_loop.call_soon_threadsafe(cancel);
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}
