//! The tasks of an event loop: who they are, while it runs and until they are over. How they get their turns: [`queue`].

mod busy;
mod queue;
mod registry;

use std::{
    cell::RefCell,
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex, Weak,
        atomic::{
            AtomicUsize,
            Ordering::{Acquire, Release},
        },
    },
    task::{Context, Poll, Waker},
    thread::{self, ThreadId},
};

use async_task::{Builder, FallibleTask, Runnable, Task};
use loophost_plugin_api::{LoopCell, RefMut};
use pin_project_lite::pin_project;
use slab::Slab;

pub(crate) use self::busy::wait_while_busy;
pub(crate) use self::queue::{Queue, wake_with_turn};
use self::queue::{call_from_elsewhere, call_here, schedule};
use crate::{
    Callback, Error, HandleId, LoopHandle,
    process::lock,
    running,
    task::{
        Kept,
        caught::{drop_caught, poll_caught},
    },
};

/// The tasks of one loop.
pub(crate) struct Executor {
    number: u64,
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
    /// The number of the next one, modulo 2^32.
    next_number: u32,
    /// Whether whoever comes is aborted at once.
    closing: bool,
}

/// A task that is not over yet.
struct Member {
    key: Key,
    waker: Waker,
    aborted: bool,
}

/// Names a task of an executor until it is over: a number, a list and an index there, in one word that travels in a
/// register.
///
/// The number comes again after 2^32 tasks. By then nobody names the earlier one: its handle knows that it is over. (Of a
/// local task that was leaked the handle does not, and may abort another one, if that has the same index too.)
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key(u64);

impl Key {
    const GUEST: u32 = 1 << 31;

    fn new(number: u32, list: List, index: usize) -> Self {
        let index = u32::try_from(index).ok().filter(|index| index & Self::GUEST == 0);
        let index = index.expect("fewer than 2^31 tasks fit into memory");
        let place = if list == List::Guests { index | Self::GUEST } else { index };
        Self(u64::from(number) << 32 | u64::from(place))
    }

    fn list(self) -> List {
        if self.0 & u64::from(Self::GUEST) == 0 { List::Own } else { List::Guests }
    }

    fn index(self) -> usize {
        (self.0 as u32 & !Self::GUEST) as usize
    }
}

/// Where an executor keeps a task.
#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    Own,
    Guests,
}

/// What a task knows of its executor.
pub(crate) struct Membership {
    executor: Arc<Executor>,
    key: Key,
    /// The only thread that may poll or drop its future; `None` for all.
    home: Option<ThreadId>,
}

/// Names a task for those who do not keep its executor.
#[derive(Clone, Copy)]
pub(crate) struct TaskId {
    executor: u64,
    key: Key,
}

/// The output of a task, once it is there; `None` if the task ended without one.
pub(crate) type Output<T> = FallibleTask<Kept<T>, Membership>;

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
            let never = || {
                let tasks = UntilClosed(this.clone());
                Callback::new(move |_| {
                    drop(tasks);
                    Ok(())
                })
            };
            Self {
                number: registry::enter(this.clone()),
                own: LoopCell::new(Tasks::default()),
                guests: Mutex::default(),
                aborted: AtomicUsize::new(0),
                until_closed: wait_while_busy(|| event_loop.call_at(u64::MAX, never())).ok(),
                event_loop,
            }
        })
    }

    /// Runs the loop; the tasks that are spawned meanwhile in this thread cost no lock.
    pub(crate) fn run(&self) -> Result<(), Error> {
        let _running = wait_while_busy(|| self.own.run())?;
        wait_while_busy(|| self.event_loop.run_forever())
    }

    /// Makes a task of a future that any thread may wake, and asks for its first turn.
    // Inlined: see `enter`.
    #[inline(always)]
    pub(crate) fn spawn<F>(self: &Arc<Self>, future: F) -> (Output<F::Output>, TaskId)
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.enter(None, |member, leave| {
            Builder::new().metadata(member).spawn(move |_| Body { future: Some(future), leave }, schedule)
        })
    }

    /// The same for a future that stays in this thread.
    // Inlined: see `enter`.
    #[inline(always)]
    pub(crate) fn spawn_local<F>(self: &Arc<Self>, future: F) -> (Output<F::Output>, TaskId)
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.enter(Some(thread::current().id()), |member, leave| {
            Builder::new()
                .metadata(member)
                .spawn_local(move |_| Body { future: Some(future), leave }, schedule)
        })
    }

    /// Makes a task on one of the lists.
    // Inlined, as what calls it is: each function that a future goes through copies it, and a copy of what was just written
    // in smaller parts stalls.
    #[inline(always)]
    fn enter<T>(
        self: &Arc<Self>,
        home: Option<ThreadId>,
        make: impl FnOnce(Membership, Leave) -> (Runnable<Membership>, Task<Kept<T>, Membership>),
    ) -> (Output<T>, TaskId) {
        let (runnable, task, id) = {
            let (mut own, mut guests);
            let (tasks, list): (&mut Tasks, _) = if self.own.is_running_here() {
                own = self.own.borrow_mut().expect("this thread runs the loop, and no task has a turn now");
                (&mut own, List::Own)
            } else {
                guests = lock(&self.guests);
                (&mut guests, List::Guests)
            };
            let key = Key::new(tasks.next_number, list, tasks.members.vacant_key());
            tasks.next_number = tasks.next_number.wrapping_add(1);
            let id = TaskId { executor: self.number, key };
            let (runnable, task) = make(Membership { executor: self.clone(), key, home }, Leave(id));
            tasks.members.insert(Member { key, waker: runnable.waker(), aborted: tasks.closing });
            if tasks.closing {
                self.aborted.fetch_add(1, Release);
            }
            (runnable, task, id)
        };
        // Now, for a loop that refuses drops it, and then it leaves the list.
        runnable.schedule();
        (task.fallible(), id)
    }

    /// # Errors
    /// Those of the cell, but `Busy`.
    #[inline]
    fn own(&self) -> Result<RefMut<'_, Tasks>, Error> {
        wait_while_busy(|| self.own.borrow_mut())
    }

    /// # Errors
    /// Those of [`own`](Self::own), for the list of the loop's own thread.
    #[inline]
    fn with_tasks<R>(&self, list: List, f: impl FnOnce(&mut Tasks) -> R) -> Result<R, Error> {
        match list {
            List::Own => Ok(f(&mut *self.own()?)),
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
    #[inline]
    fn leave(&self, key: Key) {
        let left = self.with_tasks(key.list(), |tasks| {
            tasks.member(key)?;
            Some((tasks.members.remove(key.index()), tasks.closing && tasks.members.is_empty()))
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
        let waker = self.with_tasks(key.list(), |tasks| tasks.member(key).map(|member| self.mark(member)));
        match waker {
            Ok(Some(waker)) => waker.wake(),
            Ok(None) => {}
            // Another thread runs the loop.
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

    /// Wakes those that are aborted and not over. After turns, for one that was marked by another thread when its turn had
    /// begun already, and before it was polled, was not woken by that: it counted as woken still.
    #[inline]
    fn wake_aborted(&self) {
        if self.aborted.load(Acquire) != 0 {
            self.wake_aborted_guests();
        }
    }

    /// Other threads mark guests only.
    #[cold]
    fn wake_aborted_guests(&self) {
        let is_aborted = |(_, member): (_, &Member)| member.aborted.then(|| member.waker.clone());
        let wakers: Vec<Waker> = lock(&self.guests).members.iter().filter_map(is_aborted).collect();
        wakers.into_iter().for_each(Waker::wake);
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
        registry::leave(self.number);
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
        self.members.get_mut(key.index()).filter(|member| member.key == key)
    }
}

impl TaskId {
    /// See [`Executor::abort`]. Nothing if the executor is gone, for then the task is too. Not for a task that has long been
    /// over, whose key may be another's by now.
    pub(crate) fn abort(self) {
        let is_its_own = |executor: &Arc<Executor>| executor.number == self.executor;
        let executor = running::executor().filter(is_its_own).or_else(|| registry::find(self.executor));
        if let Some(executor) = executor {
            executor.abort(self.key);
        }
    }
}

impl Membership {
    /// Whether this thread may poll or drop the task's future.
    fn is_at_home(&self) -> bool {
        self.home.is_none_or(|home| home == thread::current().id())
    }

    /// Whether the task that has a turn was aborted.
    fn is_aborted(&self) -> bool {
        // Nearly always there is none, and the list is left alone.
        self.executor.aborted.load(Acquire) != 0 && self.is_marked()
    }

    #[cold]
    fn is_marked(&self) -> bool {
        let is_marked = |tasks: &mut Tasks| tasks.member(self.key).is_some_and(|member| member.aborted);
        self.executor.with_tasks(self.key.list(), is_marked).unwrap_or(false)
    }
}

pin_project! {
    /// What a task polls. Its fields are dropped in their order: the future first.
    struct Body<F> {
        // `None` only while it is dropped.
        #[pin]
        future: Option<F>,
        leave: Leave,
    }

    // A panic that came out of it would end the process: async-task has no other way there.
    impl<F> PinnedDrop for Body<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut future = this.project().future;
            drop_caught("a task's future", || future.set(None));
        }
    }
}

impl<F: Future> Future for Body<F> {
    type Output = Kept<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let future = self.project().future.as_pin_mut().expect("it is taken by the drop only");
        poll_caught(future, cx).map(Kept::new)
    }
}

/// Takes a task off the list when its future has been dropped.
///
/// That happens in a turn of the loop, whose executor is at hand there, or together with a [`Scheduled`].
struct Leave(TaskId);

impl Drop for Leave {
    fn drop(&mut self) {
        running::with_executor(|executor| {
            if executor.number == self.0.executor {
                executor.leave(self.0.key);
            }
        });
    }
}
