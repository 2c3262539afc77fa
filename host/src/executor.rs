//! The tasks of an event loop while it runs: who they are, and how one that was woken gets its turn.
//!
//! There is no queue here. A task that is to run is one `call_soon` of its loop, without an allocation; one that is woken
//! from elsewhere is one `call_soon_threadsafe`. A loop that refuses, because it is closed, drops the callback and with
//! it the task.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicUsize,
            Ordering::{Acquire, Release},
        },
    },
    task::Waker,
};

use async_task::{Builder, FallibleTask, Runnable, Task};
use slab::Slab;

use crate::{Callback, LoopHandle, process::lock, running};

/// The tasks of one loop.
pub(crate) struct Executor {
    event_loop: LoopHandle,
    tasks: Mutex<Tasks>,
    /// How many tasks have been aborted and are not over yet.
    aborted: AtomicUsize,
}

#[derive(Default)]
struct Tasks {
    members: Slab<Member>,
    /// The number of the next member.
    next: u64,
    /// Whether whoever comes is aborted at once.
    closing: bool,
}

/// A task that is not over yet.
struct Member {
    number: u64,
    waker: Waker,
    aborted: bool,
}

/// Names a task in its executor; not given twice.
#[derive(Clone, Copy)]
struct Key {
    index: usize,
    number: u64,
}

/// Names a task.
pub(crate) struct Membership {
    executor: Arc<Executor>,
    key: Key,
}

/// The output of a task, once it is there; `None` if the task ended without one.
pub(crate) type Output<T> = FallibleTask<T, Membership>;

impl Executor {
    pub(crate) fn new(event_loop: LoopHandle) -> Self {
        Self { event_loop, tasks: Mutex::default(), aborted: AtomicUsize::new(0) }
    }

    /// Makes a task of a future that any thread may wake, and asks for its first turn.
    pub(crate) fn spawn<F>(self: &Arc<Self>, future: F) -> (Output<F::Output>, Membership)
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.enter(|member, leave| {
            Builder::new().metadata(member).spawn(move |_| leave.after(future), schedule)
        })
    }

    /// The same for a future that stays in this thread.
    pub(crate) fn spawn_local<F>(self: &Arc<Self>, future: F) -> (Output<F::Output>, Membership)
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.enter(|member, leave| {
            Builder::new().metadata(member).spawn_local(move |_| leave.after(future), schedule)
        })
    }

    fn enter<T>(
        self: &Arc<Self>,
        make: impl FnOnce(Membership, Leave) -> (Runnable<Membership>, Task<T, Membership>),
    ) -> (Output<T>, Membership) {
        let mut tasks = lock(&self.tasks);
        let number = tasks.next;
        tasks.next += 1;
        let aborted = tasks.closing;
        let entry = tasks.members.vacant_entry();
        let key = Key { index: entry.key(), number };
        let (runnable, task) = make(self.membership(key), Leave(self.membership(key)));
        entry.insert(Member { number, waker: runnable.waker(), aborted });
        if aborted {
            self.aborted.fetch_add(1, Release);
        }
        drop(tasks);
        runnable.schedule();
        (task.fallible(), self.membership(key))
    }

    /// Has the loop call something soon, from whatever thread this is. A loop that cannot drops it.
    pub(crate) fn call(&self, callback: Callback) {
        let event_loop = &self.event_loop;
        let given = if running::is_running(event_loop) {
            event_loop.call_soon(callback)
        } else {
            event_loop.call_soon_threadsafe(callback)
        };
        if let Err(error) = given {
            tracing::debug!("{}: a task ends, for no more callbacks are taken: {error}", event_loop.name());
        }
    }

    pub(crate) fn event_loop(&self) -> &LoopHandle {
        &self.event_loop
    }

    fn membership(self: &Arc<Self>, key: Key) -> Membership {
        Membership { executor: self.clone(), key }
    }

    /// Aborts every task, and those that are yet to come; false if there are none. The loop is stopped when the last one
    /// is over.
    pub(crate) fn close(&self) -> bool {
        let wakers: Vec<Waker> = {
            let mut tasks = lock(&self.tasks);
            tasks.closing = true;
            tasks.members.iter_mut().map(|(_, member)| self.mark(member)).collect()
        };
        wakers.iter().for_each(Waker::wake_by_ref);
        !wakers.is_empty()
    }

    /// Marks a task as aborted; it finds out when it is woken.
    fn mark(&self, member: &mut Member) -> Waker {
        if !std::mem::replace(&mut member.aborted, true) {
            self.aborted.fetch_add(1, Release);
        }
        member.waker.clone()
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("event_loop", &self.event_loop.name()).finish_non_exhaustive()
    }
}

impl Membership {
    /// Has the future dropped in the task's next turn, unless the task is over by then.
    pub(crate) fn abort(&self) {
        let waker = self.with_member(|member| self.executor.mark(member));
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn is_aborted(&self) -> bool {
        // Nearly always there is none, and nothing is locked.
        self.executor.aborted.load(Acquire) != 0 && self.with_member(|member| member.aborted).unwrap_or(false)
    }

    fn with_member<R>(&self, f: impl FnOnce(&mut Member) -> R) -> Option<R> {
        let mut tasks = lock(&self.executor.tasks);
        tasks.members.get_mut(self.key.index).filter(|member| member.number == self.key.number).map(f)
    }

    fn leave(&self) {
        let mut tasks = lock(&self.executor.tasks);
        let member = tasks.members.try_remove(self.key.index);
        let is_last = tasks.closing && tasks.members.is_empty();
        drop(tasks);
        if member.is_some_and(|member| member.aborted) {
            self.executor.aborted.fetch_sub(1, Release);
        }
        if is_last {
            // A loop that is closed already has no run to end.
            let _ = self.executor.event_loop.stop();
        }
    }
}

/// Takes a task off the list when its future has been dropped.
struct Leave(Membership);

impl Leave {
    async fn after<F: Future>(self, future: F) -> F::Output {
        // Variables are dropped in reverse order: the future first.
        let _leave = self;
        future.await
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// Gives a task that was woken its turn.
fn schedule(runnable: Runnable<Membership>) {
    let executor = runnable.metadata().executor.clone();
    let turn = Callback::new(move |_| {
        if runnable.metadata().is_aborted() {
            drop(runnable);
        } else {
            runnable.run();
        }
        Ok(())
    });
    executor.call(turn);
}
