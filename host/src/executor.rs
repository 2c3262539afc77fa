//! The tasks of an event loop while it runs: who they are, and how one that was woken gets its turn.
//!
//! Tasks that are woken in the loop's own thread wait in a queue of that run ([`Queue`]); one `call_soon` gives all of
//! them their turn, in the order of their waking. One that is woken from elsewhere is one `call_soon_threadsafe`. A loop that
//! refuses, because it is closed, drops the callback and with it the task.

use std::{
    cell::{Cell, RefCell},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex, Weak,
        atomic::{
            AtomicUsize,
            Ordering::{Acquire, Release},
        },
    },
    task::{Context, Poll, Waker},
};

use async_task::{Builder, FallibleTask, Runnable, Task};
use loophost_plugin_api::LoopCell;
use pin_project_lite::pin_project;
use slab::Slab;

use crate::{
    Callback, Error, HandleId, LoopHandle,
    process::lock,
    running,
    task::{Caught, poll_caught},
};

/// The tasks of one loop.
pub(crate) struct Executor {
    event_loop: LoopHandle,
    /// Those that were spawned in the thread of a [`run`](Self::run), which needs no lock for them.
    own: LoopCell<Tasks>,
    /// Those that were spawned anywhere else.
    guests: Mutex<Tasks>,
    /// How many tasks have been aborted and are not over yet.
    aborted: AtomicUsize,
    /// The timer that the loop drops when it is closed; `None` if it is closed already.
    until_closed: Option<HandleId>,
}

#[derive(Default)]
struct Tasks {
    members: Slab<Member>,
    /// The number of the next one.
    next_number: u64,
    /// Whether whoever comes is aborted at once.
    closing: bool,
}

/// A task that is not over yet.
struct Member {
    number: u64,
    waker: Waker,
    aborted: bool,
}

/// Names a task of an executor; not given twice.
#[derive(Clone, Copy)]
struct Key {
    number: u64,
    index: u32,
    list: List,
}

/// Where an executor keeps a task.
#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    Own,
    Guests,
}

/// Names a task.
pub(crate) struct Membership {
    executor: Arc<Executor>,
    key: Key,
}

/// The output of a task, once it is there; `None` if the task ended without one.
pub(crate) type Output<T> = FallibleTask<Caught<T>, Membership>;

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
            Self {
                own: LoopCell::new(Tasks::default()),
                guests: Mutex::default(),
                aborted: AtomicUsize::new(0),
                until_closed: event_loop.call_at(u64::MAX, never).ok(),
                event_loop,
            }
        })
    }

    /// Runs the loop; the tasks that are spawned meanwhile in this thread cost no lock.
    pub(crate) fn run(&self) -> Result<(), Error> {
        let _running = self.own.run()?;
        self.event_loop.run_forever()
    }

    /// Makes a task of a future that any thread may wake, and asks for its first turn.
    pub(crate) fn spawn<F>(self: &Arc<Self>, future: F) -> (Output<F::Output>, Membership)
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.enter(|member, leave| {
            Builder::new().metadata(member).spawn(move |_| Body { future, leave }, schedule)
        })
    }

    /// The same for a future that stays in this thread.
    pub(crate) fn spawn_local<F>(self: &Arc<Self>, future: F) -> (Output<F::Output>, Membership)
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.enter(|member, leave| {
            Builder::new().metadata(member).spawn_local(move |_| Body { future, leave }, schedule)
        })
    }

    #[inline]
    fn enter<T>(
        self: &Arc<Self>,
        make: impl FnOnce(Membership, Leave) -> (Runnable<Membership>, Task<Caught<T>, Membership>),
    ) -> (Output<T>, Membership) {
        let list = if self.own.is_running_here() { List::Own } else { List::Guests };
        let entered = self.with_tasks(list, |tasks| {
            let entry = tasks.members.vacant_entry();
            let (number, aborted) = (tasks.next_number, tasks.closing);
            tasks.next_number += 1;
            let index = u32::try_from(entry.key()).expect("fewer than 2^32 tasks fit into memory");
            let key = Key { number, index, list };
            let leave = Leave { executor: self.address(), key };
            let (runnable, task) = make(self.membership(key), leave);
            entry.insert(Member { number, waker: runnable.waker(), aborted });
            if aborted {
                self.aborted.fetch_add(1, Release);
            }
            (runnable, task, self.membership(key))
        });
        let (runnable, task, member) = entered.expect("this thread runs the loop, or it is the other list");
        runnable.schedule();
        (task.fallible(), member)
    }

    /// # Errors
    /// Those of the cell, for the list of the loop's own thread.
    #[inline]
    fn with_tasks<R>(&self, list: List, f: impl FnOnce(&mut Tasks) -> R) -> Result<R, Error> {
        match list {
            List::Own => self.own.with(f),
            List::Guests => Ok(f(&mut lock(&self.guests))),
        }
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

    /// As an identity: a task keeps its executor, so no other one has the same meanwhile.
    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Aborts every task, and those that are yet to come; false if there are none. The loop is stopped when the last one
    /// is over.
    ///
    /// # Errors
    /// If another thread runs the loop.
    pub(crate) fn close(&self) -> Result<bool, Error> {
        let mut wakers: Vec<Waker> = Vec::new();
        for list in [List::Own, List::Guests] {
            self.with_tasks(list, |tasks| {
                tasks.closing = true;
                wakers.extend(tasks.members.iter_mut().map(|(_, member)| self.mark(member)));
            })?;
        }
        wakers.iter().for_each(Waker::wake_by_ref);
        Ok(!wakers.is_empty())
    }

    /// Takes a task off its list. In a turn of the loop.
    fn leave(&self, key: Key) {
        let left = self.with_tasks(key.list, |tasks| {
            tasks.member(key)?;
            Some((tasks.members.remove(key.index as usize), tasks.closing && tasks.members.is_empty()))
        });
        let Ok(Some((member, is_last_of_list))) = left else { return };
        if member.aborted {
            self.aborted.fetch_sub(1, Release);
        }
        if is_last_of_list && self.is_empty() {
            // It runs, for this is one of its turns.
            let _ = self.event_loop.stop();
        }
    }

    fn is_empty(&self) -> bool {
        let is_empty = |list| self.with_tasks(list, |tasks| tasks.members.is_empty()).unwrap_or(false);
        is_empty(List::Own) && is_empty(List::Guests)
    }

    /// Has a task's future dropped in its next turn, unless it is over by then. Any thread.
    fn abort(self: &Arc<Self>, key: Key) {
        let waker = self.with_tasks(key.list, |tasks| tasks.member(key).map(|member| self.mark(member)));
        match waker {
            Ok(Some(waker)) => waker.wake(),
            Ok(None) => {}
            // Another thread runs the loop, or looks at the list this moment.
            Err(_) => {
                let this = self.clone();
                let there = Callback::new(move |_| {
                    this.abort(key);
                    Ok(())
                });
                call_from_elsewhere(&self.event_loop, there);
            }
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
            // Nothing runs a loop that is closed.
            let _ = executor.close();
        }
    }
}

impl Tasks {
    fn member(&mut self, key: Key) -> Option<&mut Member> {
        self.members.get_mut(key.index as usize).filter(|member| member.number == key.number)
    }
}

impl Membership {
    /// See [`Executor::abort`].
    pub(crate) fn abort(&self) {
        self.executor.abort(self.key);
    }

    /// Whether the task that has a turn was aborted.
    fn is_aborted(&self) -> bool {
        // Nearly always there is none, and the list is left alone.
        self.executor.aborted.load(Acquire) != 0 && self.is_marked()
    }

    #[cold]
    fn is_marked(&self) -> bool {
        let is_marked = |tasks: &mut Tasks| tasks.member(self.key).is_some_and(|member| member.aborted);
        self.executor.with_tasks(self.key.list, is_marked).unwrap_or(false)
    }
}

pin_project! {
    /// What a task polls. Its fields are dropped in their order: the future first.
    struct Body<F> {
        #[pin]
        future: F,
        leave: Leave,
    }
}

impl<F: Future> Future for Body<F> {
    type Output = Caught<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        poll_caught(self.project().future, cx)
    }
}

/// Takes a task off the list when its future has been dropped.
///
/// That happens in a turn of the loop, whose executor is at hand there, or together with a [`Scheduled`].
struct Leave {
    /// The address of its executor.
    executor: usize,
    key: Key,
}

impl Drop for Leave {
    fn drop(&mut self) {
        running::with_executor(|executor| {
            if executor.address() == self.executor {
                executor.leave(self.key);
            }
        });
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
    // A waker may be anybody's; whatever it does, those that were woken have their turn.
    let woken = catch_unwind(AssertUnwindSafe(|| wakers.into_iter().for_each(Waker::wake)));
    if !was_due {
        take_turns();
    }
    if let Err(payload) = woken {
        resume_unwind(payload);
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
