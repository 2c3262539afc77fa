//! Running a future to its end.

use std::{
    cell::Cell,
    future::poll_fn,
    panic::resume_unwind,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::AcqRel, Ordering::Release},
    },
    task::{Context, Poll, Wake, Waker},
};

use crate::{
    Callback, Error, ErrorCode,
    executor::{Executor, wait_while_busy},
    policy, running, services,
    sys::borrowed_future,
    task::caught::{Caught, poll_caught},
};

/// Runs a future on a fresh loop of the policy, as the main function of a program does (asyncio: `asyncio.run`).
///
/// The loop is this thread's current one meanwhile. When the future is ready all tasks that are left are aborted, and the
/// loop is closed. Several threads may do this at the same time, each with its own loop.
///
/// ```
/// let sum = loophost::run(async {
///     let task = loophost::spawn(async { 1 });
///     task.await.unwrap() + 1
/// })?;
/// assert_eq!(sum, 2);
/// # Ok::<(), loophost::Error>(())
/// ```
///
/// # Errors
/// `LoopRunning` if a loop runs in this thread: await the future there. `LoopStopped` if somebody stops the loop before
/// the future is ready. Otherwise those of the policy and the loop.
///
/// # Panics
/// If the future panics, with the same payload; the loop is closed then, too.
pub fn run<F: Future>(future: F) -> Result<F::Output, Error> {
    refuse_inside_a_run("run")?;
    let event_loop = policy::new_event_loop()?;
    let executor = Executor::of(&event_loop);
    let ended = policy::set_event_loop(Some(event_loop.clone())).and_then(|()| {
        let ended = run_until_complete(&executor, future);
        // A loop that has failed is not run again: it drops its tasks when it is closed.
        let has_failed = ended.as_ref().is_err_and(|error| error.code() != ErrorCode::LOOP_STOPPED);
        // The last task to go stops the loop.
        let gone = if has_failed {
            Ok(())
        } else {
            executor.close().and_then(|left| if left { executor.run() } else { Ok(()) })
        };
        ended.and_then(|output| gone.map(|()| output))
    });
    // It has a timer, which would count as left.
    drop(executor);
    for closed in [policy::set_event_loop(None), wait_while_busy(|| event_loop.close())] {
        if let Err(error) = closed {
            tracing::warn!("{}: closing the event loop: {error}", event_loop.name());
        }
    }
    Ok(ended?.unwrap_or_else(|payload| resume_unwind(payload)))
}

/// Runs a future on this thread's current loop, which stays open (asyncio: `loop.run_until_complete`). If the policy has
/// none for this thread, a new one becomes current. Tasks that are left go on when the loop runs again.
///
/// # Errors
/// As [`run`].
///
/// # Panics
/// If the future panics, with the same payload.
pub fn block_on<F: Future>(future: F) -> Result<F::Output, Error> {
    refuse_inside_a_run("block_on")?;
    let event_loop = match policy::get_event_loop() {
        Err(error) if error.code() == ErrorCode::NO_CURRENT_LOOP => {
            let event_loop = policy::new_event_loop()?;
            policy::set_event_loop(Some(event_loop.clone()))?;
            event_loop
        }
        found => found?,
    };
    run_until_complete(&Executor::of(&event_loop), future)
        .map(|output| output.unwrap_or_else(|payload| resume_unwind(payload)))
}

fn run_until_complete<F: Future>(executor: &Arc<Executor>, future: F) -> Result<Caught<F::Output>, Error> {
    services::install();
    let output = Cell::new(None);
    let mut future = pin!(future);
    let main = pin!(async {
        output.set(Some(poll_fn(|cx| poll_caught(future.as_mut(), cx)).await));
    });
    let turn = Arc::new(Turn { executor: executor.clone(), is_due: AtomicBool::new(false) });
    borrowed_future::lend(main, || {
        turn.wake_by_ref();
        executor.run()
    })?;
    output.take().ok_or_else(|| {
        Error::new(ErrorCode::LOOP_STOPPED, "the event loop was stopped before the future was ready")
    })
}

/// Gives the future its turns in the loop.
struct Turn {
    executor: Arc<Executor>,
    /// Whether a turn has been asked for already.
    is_due: AtomicBool,
}

impl Wake for Turn {
    fn wake(self: Arc<Self>) {
        if !self.is_due.swap(true, AcqRel) {
            let turn = self.clone();
            self.executor.call(Callback::new(move |_| turn.take()));
        }
    }
}

impl Turn {
    fn take(self: Arc<Self>) -> Result<(), Error> {
        // Whoever wakes from now on asks for another turn.
        self.is_due.store(false, Release);
        let waker = Waker::from(self.clone());
        match borrowed_future::poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(()) => self.executor.event_loop().stop(),
            Poll::Pending => Ok(()),
        }
    }
}

fn refuse_inside_a_run(what: &str) -> Result<(), Error> {
    match running::current() {
        None => Ok(()),
        Some(running) => Err(Error::new(
            ErrorCode::LOOP_RUNNING,
            format!(
                "{what} inside of a running event loop ({}): await the future there, or spawn it",
                running.name()
            ),
        )),
    }
}
