//! How a task that was woken gets its turn.
//!
//! Those that are woken in the loop's own thread wait in a queue of that run; one `call_soon` gives all of them their turn, in
//! the order of their waking. One that is woken from elsewhere is one `call_soon_threadsafe`. A loop that refuses, because
//! it is closed, drops the callback and with it the task.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    mem,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use async_task::Runnable;

use super::Membership;
use crate::{Callback, Error, LoopHandle, running, sys::fork_mark, task::caught::drop_payload};

/// The tasks that were woken in the loop's thread and wait for their turn, for the time of a run.
pub(crate) struct Queue {
    event_loop: LoopHandle,
    /// The process of the run, as [`fork_mark::generation`] numbers them.
    generation: u64,
    woken: RefCell<VecDeque<Runnable<Membership>>>,
    /// Whether somebody will call [`take_turns`](Self::take_turns).
    is_due: Cell<bool>,
}

impl Queue {
    pub(crate) fn new(event_loop: LoopHandle) -> Self {
        Self {
            event_loop,
            generation: fork_mark::generation(),
            woken: RefCell::default(),
            is_due: Cell::new(false),
        }
    }

    pub(crate) fn event_loop(&self) -> &LoopHandle {
        &self.event_loop
    }

    /// Has the tasks that are left called by the loop when it runs again.
    pub(crate) fn leave_to_loop(&self) {
        for runnable in self.woken.take() {
            call_from_elsewhere(&self.event_loop, turn(runnable));
        }
    }

    /// Gives each task that waits now its turn; those that are woken meanwhile have another one.
    fn take_turns(&self) {
        self.is_due.set(false);
        let waiting = self.woken.borrow().len();
        for _ in 0..waiting {
            let Some(runnable) = self.pop() else { break };
            // Whatever is wrong with it (a waker, or who subscribes to the log), the others have their turn.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| take_turn(runnable))) {
                drop_payload(payload);
            }
        }
        running::with_executor(|executor| executor.wake_aborted());
    }

    /// The next one; none in a child that one of them has forked, for there they are the parent's.
    fn pop(&self) -> Option<Runnable<Membership>> {
        if self.generation == fork_mark::generation() { self.woken.borrow_mut().pop_front() } else { None }
    }
}

/// Gives a task that was woken a turn.
pub(super) fn schedule(runnable: Runnable<Membership>) {
    let mut woken = Some(runnable);
    let ask = running::with_queue(|queue| {
        let runnable =
            woken.take_if(|runnable| runnable.metadata().executor.event_loop.same(&queue.event_loop))?;
        queue.woken.borrow_mut().push_back(runnable);
        (!queue.is_due.replace(true)).then(|| queue.event_loop.clone())
    });
    if let Some(event_loop) = ask.flatten() {
        ask_for_turns(&event_loop);
    }
    if let Some(runnable) = woken {
        let event_loop = runnable.metadata().executor.event_loop.clone();
        call_from_elsewhere(&event_loop, turn(runnable));
    }
}

#[cold]
fn ask_for_turns(event_loop: &LoopHandle) {
    let turns = Callback::new(|_| {
        if let Some(queue) = running::queue() {
            queue.take_turns();
        }
        Ok(())
    });
    if let Err(error) = event_loop.call_soon(turns) {
        // It is asked again by whoever is woken next.
        running::with_queue(|queue| queue.is_due.set(false));
        refused(event_loop, &error);
    }
}

/// Wakes from a callback of the loop, and gives those of its tasks their turn before that callback ends: no further turn
/// of the loop stands between what has happened and who waits for it.
pub(crate) fn wake_with_turn(wake: impl FnOnce()) {
    let Some(queue) = running::queue() else { return wake() };
    let was_due = queue.is_due.replace(true);
    // A waker may be anybody's; whatever it does, those that were woken have their turn.
    let woken = catch_unwind(AssertUnwindSafe(wake));
    if !was_due {
        queue.take_turns();
    }
    if let Err(payload) = woken {
        resume_unwind(payload);
    }
}

#[inline]
fn take_turn(runnable: Runnable<Membership>) {
    if !runnable.metadata().is_at_home() {
        leak(runnable);
    } else if runnable.metadata().is_aborted() {
        drop(runnable);
    } else {
        runnable.run();
    }
}

/// What becomes of a local task in another thread than its own, which may not even drop it.
#[cold]
fn leak(runnable: Runnable<Membership>) {
    let Membership { executor, key, .. } = runnable.metadata();
    tracing::warn!(
        "{}: a local task is leaked, for its loop is run or closed in another thread",
        executor.event_loop.name()
    );
    executor.leave(*key);
    mem::forget(runnable);
}

fn turn(runnable: Runnable<Membership>) -> Callback {
    let mut scheduled = Scheduled(Some(runnable));
    Callback::new(move |_| {
        if let Some(runnable) = scheduled.0.take() {
            take_turn(runnable);
            running::with_executor(|executor| executor.wake_aborted());
        }
        Ok(())
    })
}

/// A task in a callback; a loop that drops the callback ends the task.
struct Scheduled(Option<Runnable<Membership>>);

impl Drop for Scheduled {
    fn drop(&mut self) {
        let Some(runnable) = self.0.take() else { return };
        if !runnable.metadata().is_at_home() {
            return leak(runnable);
        }
        let Membership { executor, key, .. } = runnable.metadata();
        let (executor, key) = (executor.clone(), *key);
        drop(runnable);
        executor.leave(key);
    }
}

pub(super) fn call_here(event_loop: &LoopHandle, callback: Callback) {
    if let Err(error) = event_loop.call_soon(callback) {
        refused(event_loop, &error);
    }
}

pub(super) fn call_from_elsewhere(event_loop: &LoopHandle, callback: Callback) {
    if let Err(error) = event_loop.call_soon_threadsafe(callback) {
        refused(event_loop, &error);
    }
}

#[cold]
fn refused(event_loop: &LoopHandle, error: &Error) {
    tracing::debug!("{}: a task ends, for no more callbacks are taken: {error}", event_loop.name());
}
