//! The running loop of each thread (asyncio: `_set_running_loop`, `_get_running_loop`).
//!
//! It lives in the host because each plugin file has thread-locals of its own. A forked child sees none: the
//! loop that its thread ran belongs to the parent.

#[cfg(feature = "async")]
use std::{cell::OnceCell, rc::Rc, sync::Arc};
use std::{
    cell::RefCell,
    mem,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

#[cfg(feature = "async")]
use crate::executor::{Executor, Queue};
use crate::{
    Error, ErrorCode, LoopHandle,
    sys::{fork_mark, thread},
};

struct Running {
    /// What ends it.
    token: u64,
    event_loop: LoopHandle,
    /// The process that it runs in, as [`fork_mark::generation`] numbers them.
    generation: u64,
    /// Its tasks, once there are any.
    #[cfg(feature = "async")]
    executor: OnceCell<Arc<Executor>>,
    /// Those of them that wait for their turn, once one has done so.
    #[cfg(feature = "async")]
    queue: OnceCell<Rc<Queue>>,
}

impl Running {
    #[inline]
    fn is_here(&self) -> bool {
        self.generation == fork_mark::generation()
    }

    #[cfg(feature = "async")]
    #[inline]
    fn executor(&self) -> &Arc<Executor> {
        self.executor.get_or_init(|| Executor::of(&self.event_loop))
    }

    #[cfg(feature = "async")]
    #[inline]
    fn queue(&self) -> &Rc<Queue> {
        self.queue.get_or_init(|| Rc::new(Queue::new(self.event_loop.clone())))
    }

    /// Ends it; a loop of the parent is never touched, not even by letting go of it.
    fn end(self) {
        if self.is_here() {
            #[cfg(feature = "async")]
            if let Some(queue) = self.queue.get() {
                queue.leave_to_loop();
            }
        } else {
            mem::forget(self);
        }
    }
}

/// The place of the running loop in a thread.
struct Slot(RefCell<Option<Running>>);

impl Drop for Slot {
    fn drop(&mut self) {
        // Only if a `RunningLoop` was forgotten, or the process ends from inside a loop: then nothing is dropped.
        if let Some(running) = self.0.take() {
            if thread::is_main() {
                mem::forget(running);
            } else {
                running.end();
            }
        }
    }
}

thread_local! {
    static SLOT: Slot = const { Slot(RefCell::new(None)) };
}

/// Announces that this thread runs `event_loop`; the token goes to [`leave`].
pub(crate) fn enter(event_loop: &LoopHandle) -> Result<u64, Error> {
    if let Some(other) = current() {
        return Err(already_running(&other, event_loop));
    }
    static NEXT_TOKEN: AtomicU64 = AtomicU64::new(1);
    let token = NEXT_TOKEN.fetch_add(1, Relaxed);
    let running = Running {
        token,
        event_loop: event_loop.clone(),
        generation: fork_mark::generation(),
        #[cfg(feature = "async")]
        executor: OnceCell::new(),
        #[cfg(feature = "async")]
        queue: OnceCell::new(),
    };
    let parents = SLOT.try_with(|slot| slot.0.replace(Some(running))).map_err(|_| thread_ends())?;
    if let Some(parents) = parents {
        parents.end();
    }
    Ok(token)
}

/// Ends what `token` was given for.
pub(crate) fn leave(token: u64) -> Result<(), Error> {
    let left = SLOT
        .try_with(|slot| slot.0.try_borrow_mut().ok()?.take_if(|running| running.token == token))
        .map_err(|_| thread_ends())?;
    match left {
        Some(running) => {
            running.end();
            Ok(())
        }
        None => Err(Error::invalid_argument(format!(
            "{token} is not the token of the loop that runs in this thread; leave in the thread that entered"
        ))),
    }
}

/// The loop that runs in this thread, in this process.
pub(crate) fn current() -> Option<LoopHandle> {
    with(|running| running.event_loop.clone())
}

/// Whether this very loop runs in this thread, in this process.
#[cfg(feature = "async")]
#[inline]
pub(crate) fn is_running(event_loop: &LoopHandle) -> bool {
    with(|running| running.event_loop.same(event_loop)).unwrap_or(false)
}

/// The tasks of the loop that runs in this thread.
#[cfg(feature = "async")]
pub(crate) fn executor() -> Option<Arc<Executor>> {
    with(|running| running.executor().clone())
}

/// Calls `f` with the tasks of the loop that runs in this thread.
#[cfg(feature = "async")]
#[inline(always)]
pub(crate) fn with_executor<R>(f: impl FnOnce(&Arc<Executor>) -> R) -> Option<R> {
    with(|running| f(running.executor()))
}

/// The loop that runs in this thread and the queue of its tasks, to be kept while foreign code is called.
#[cfg(feature = "async")]
#[inline]
pub(crate) fn queue() -> Option<Rc<Queue>> {
    with(|running| running.queue().clone())
}

/// Calls `f` with that queue, for as long as a glance at it takes.
#[cfg(feature = "async")]
#[inline]
pub(crate) fn with_queue<R>(f: impl FnOnce(&Queue) -> R) -> Option<R> {
    with(|running| f(running.queue()))
}

#[inline(always)]
fn with<R>(f: impl FnOnce(&Running) -> R) -> Option<R> {
    SLOT.try_with(|slot| slot.0.borrow().as_ref().filter(|running| running.is_here()).map(f)).ok().flatten()
}

#[cold]
fn already_running(running: &LoopHandle, asked: &LoopHandle) -> Error {
    let message = if running.same(asked) {
        "this event loop is already running".to_owned()
    } else {
        format!("cannot run an event loop while another one ({}) runs in this thread", running.name())
    };
    Error::new(ErrorCode::LOOP_RUNNING, message)
}

#[cold]
fn thread_ends() -> Error {
    Error::new(ErrorCode::NO_RUNNING_LOOP, "this thread is ending and can run no loop any more")
}
