//! The tasks of an event loop while it runs: who they are, and how one that was woken gets its turn.
//!
//! Tasks that are woken in the loop's own thread wait in a queue of that run ([`Queue`]); one `call_soon` gives all of
//! them their turn, in the order of their waking. One that is woken from elsewhere is one `call_soon_threadsafe`. A loop that
//! refuses, because it is closed, drops the callback and with it the task.

use std::{
    cell::{Cell, RefCell},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, Weak,
        atomic::{
            AtomicU64, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    task::Waker,
};

use async_task::{Builder, FallibleTask, Runnable, Task};
use slab::Slab;

use crate::{Callback, Error, HandleId, LoopHandle, process::lock, running};

/// The tasks of one loop.
pub(crate) struct Executor {
    event_loop: LoopHandle,
    tasks: Mutex<Tasks>,
    /// How many tasks have been aborted and are not over yet.
    aborted: AtomicUsize,
    /// The timer that the loop drops when it is closed; `None` if it is closed already.
    until_closed: Option<HandleId>,
}

#[derive(Default)]
struct Tasks {
    members: Slab<Member>,
    /// Whether whoever comes is aborted at once.
    closing: bool,
}

/// The number of the next task in this process.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(0);

/// A task that is not over yet.
struct Member {
    number: u64,
    waker: Waker,
    aborted: bool,
}

/// Names a task; not given twice.
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
    /// That of a loop which this thread runs, or is about to: the same as long as somebody holds it, as each task does.
    pub(crate) fn of(event_loop: &LoopHandle) -> Arc<Self> {
        thread_local! {
            static KNOWN: RefCell<Vec<Weak<Executor>>> = const { RefCell::new(Vec::new()) };
        }
        KNOWN.with_borrow_mut(|known| {
            known.retain(|executor| executor.strong_count() != 0);
            let same = |executor: &Arc<Self>| executor.event_loop.same(event_loop);
            known.iter().filter_map(Weak::upgrade).find(same).unwrap_or_else(|| {
                let fresh = Self::new(event_loop.clone());
                known.push(Arc::downgrade(&fresh));
                fresh
            })
        })
    }

    fn new(event_loop: LoopHandle) -> Arc<Self> {
        Arc::new_cyclic(|this| {
            let tasks = UntilClosed(this.clone());
            let never = Callback::new(move |_| {
                drop(tasks);
                Ok(())
            });
            let until_closed = event_loop.call_at(u64::MAX, never).ok();
            Self { event_loop, tasks: Mutex::default(), aborted: AtomicUsize::new(0), until_closed }
        })
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
        let number = NEXT_NUMBER.fetch_add(1, Relaxed);
        let aborted = tasks.closing;
        let entry = tasks.members.vacant_entry();
        let key = Key { index: entry.key(), number };
        let (runnable, task) = make(self.membership(key), Leave(key));
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
        if running::is_running(&self.event_loop) {
            call_here(&self.event_loop, callback);
        } else {
            call_from_elsewhere(&self.event_loop, callback);
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

    fn leave(&self, key: Key) {
        let mut tasks = lock(&self.tasks);
        if tasks.members.get(key.index).is_none_or(|member| member.number != key.number) {
            return;
        }
        let member = tasks.members.remove(key.index);
        let is_last = tasks.closing && tasks.members.is_empty();
        drop(tasks);
        if member.aborted {
            self.aborted.fetch_sub(1, Release);
        }
        if is_last {
            // It runs, for this is one of its turns.
            let _ = self.event_loop.stop();
        }
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

impl Drop for Executor {
    fn drop(&mut self) {
        if let Some(timer) = self.until_closed {
            // Where that is not possible, the loop is closed, or keeps a few words until it is.
            let _ = self.event_loop.cancel(timer);
        }
    }
}

/// Ends the tasks of a loop that is closed: dropped there, and nowhere else while there are any.
struct UntilClosed(Weak<Executor>);

impl Drop for UntilClosed {
    fn drop(&mut self) {
        if let Some(executor) = self.0.upgrade() {
            executor.close();
        }
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
}

/// Takes a task off the list when its future has been dropped.
///
/// That happens in a turn of the loop, whose executor is at hand there, or together with a [`Scheduled`].
struct Leave(Key);

impl Leave {
    async fn after<F: Future>(self, future: F) -> F::Output {
        // Variables are dropped in reverse order: the future first.
        let _leave = self;
        future.await
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        running::with_executor(|executor| executor.leave(self.0));
    }
}

/// The tasks that were woken in the loop's thread and wait for their turn, for the time of a run.
#[derive(Default)]
pub(crate) struct Queue {
    woken: RefCell<Vec<Runnable<Membership>>>,
    /// Whether somebody will call [`take_turns`].
    is_due: Cell<bool>,
    /// The empty one that takes the place of `woken` while those have their turn.
    spare: Cell<Vec<Runnable<Membership>>>,
}

impl Queue {
    /// Has the tasks that are left called by the loop when it runs again.
    pub(crate) fn leave_to(&self, event_loop: &LoopHandle) {
        for runnable in self.woken.take() {
            call_from_elsewhere(event_loop, turn(runnable));
        }
    }
}

/// Gives a task that was woken a turn.
fn schedule(runnable: Runnable<Membership>) {
    let mut woken = Some(runnable);
    running::with_queue(|event_loop, queue| {
        let here =
            woken.as_ref().is_some_and(|runnable| runnable.metadata().executor.event_loop.same(event_loop));
        let Some(runnable) = woken.take_if(|_| here) else { return };
        queue.woken.borrow_mut().push(runnable);
        if !queue.is_due.replace(true) {
            let turns = Callback::new(|_| {
                take_turns();
                Ok(())
            });
            // Refused, it is asked again by whoever is woken next.
            queue.is_due.set(call_here(event_loop, turns));
        }
    });
    if let Some(runnable) = woken {
        let event_loop = runnable.metadata().executor.event_loop.clone();
        call_from_elsewhere(&event_loop, turn(runnable));
    }
}

/// Gives each task that waits now its turn; those that are woken meanwhile have another one.
fn take_turns() {
    let waiting = running::with_queue(|_, queue| {
        queue.is_due.set(false);
        queue.woken.replace(queue.spare.take())
    });
    let Some(mut waiting) = waiting else { return };
    for runnable in waiting.drain(..) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| take_turn(runnable))) {
            tracing::error!("a task has panicked while its future was dropped");
            drop(payload);
        }
    }
    running::with_queue(|_, queue| queue.spare.set(waiting));
}

/// Wakes from a callback of the loop, and gives those of its tasks their turn before that callback ends: no further turn
/// of the loop stands between what has happened and who waits for it.
pub(crate) fn wake_with_turn(wakers: impl IntoIterator<Item = Waker>) {
    let was_due = running::with_queue(|_, queue| queue.is_due.replace(true)).unwrap_or(true);
    wakers.into_iter().for_each(Waker::wake);
    if !was_due {
        take_turns();
    }
}

fn take_turn(runnable: Runnable<Membership>) {
    if runnable.metadata().is_aborted() {
        drop(runnable);
    } else {
        runnable.run();
    }
}

fn turn(runnable: Runnable<Membership>) -> Callback {
    let mut scheduled = Scheduled(Some(runnable));
    Callback::new(move |_| {
        if let Some(runnable) = scheduled.0.take() {
            take_turn(runnable);
        }
        Ok(())
    })
}

/// A task in a callback; a loop that drops the callback ends the task.
struct Scheduled(Option<Runnable<Membership>>);

impl Drop for Scheduled {
    fn drop(&mut self) {
        let Some(runnable) = self.0.take() else { return };
        let Membership { executor, key } = runnable.metadata();
        let (executor, key) = (executor.clone(), *key);
        // A local task panics in another thread than its own: it is leaked.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(runnable)));
        executor.leave(key);
    }
}

fn call_here(event_loop: &LoopHandle, callback: Callback) -> bool {
    event_loop.call_soon(callback).inspect_err(|error| refused(event_loop, error)).is_ok()
}

fn call_from_elsewhere(event_loop: &LoopHandle, callback: Callback) {
    if let Err(error) = event_loop.call_soon_threadsafe(callback) {
        refused(event_loop, &error);
    }
}

#[cold]
fn refused(event_loop: &LoopHandle, error: &Error) {
    tracing::debug!("{}: a task ends, for no more callbacks are taken: {error}", event_loop.name());
}
