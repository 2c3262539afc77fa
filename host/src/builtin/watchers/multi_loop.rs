//! `MultiLoopChildWatcher`: SIGCHLD for loops in any thread.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt, mem,
    panic::Location,
    sync::{Arc, Mutex},
};

use super::{
    report::{has_exited, reap, report},
    sigchld::Sigchld,
};
use crate::{
    Callback, ChildWatcher, Error, ErrorCode, Fd, LoopHandle,
    host::{self, Reaped},
    policy::{Deprecation, called_from},
    process::{lock, valid_pid},
    sys::per_process::PerProcess,
};

pub(super) const NAME: &str = "MultiLoopChildWatcher";

/// SIGCHLD, and then a look at each child, in the thread of the host's signal broker (asyncio:
/// `MultiLoopChildWatcher`).
///
/// A child belongs to the loop that runs in the thread which adds it, and its handler is called there; if that loop is
/// closed by then, the child is reaped and the handler dropped, with a warning. Active once [`attach_loop`] was called,
/// with whatever loop or none. Unlike asyncio's, any thread may attach it, a blocked main thread holds up nobody, and
/// any number of them may come and go, as they share one signal handler.
///
/// [`attach_loop`]: ChildWatcher::attach_loop
#[derive(Debug)]
pub struct MultiLoopChildWatcher {
    state: PerProcess<State>,
}

/// A forked child begins with none of it.
#[derive(Debug, Default)]
struct State {
    shared: Arc<Shared>,
    /// `None` while it is not active.
    sigchld: Mutex<Option<Sigchld>>,
}

#[derive(Debug, Default)]
struct Shared {
    children: Mutex<BTreeMap<i32, Handler>>,
}

struct Handler {
    event_loop: LoopHandle,
    callback: Callback,
}

impl MultiLoopChildWatcher {
    /// A watcher with no children that is not active yet. Deprecated in the profile of 3.12.
    #[track_caller]
    pub fn new() -> Self {
        called_from(Location::caller(), || Deprecation::MultiLoopChildWatcher.emit_in_profile());
        Self::default()
    }

    fn check_active(&self) -> Result<(), Error> {
        if self.is_active() {
            return Ok(());
        }
        Err(Error::new(ErrorCode::INACTIVE, format!("{NAME} is not attached: attach_loop it, to any loop")))
    }
}

impl Default for MultiLoopChildWatcher {
    /// As [`new`](Self::new), without a word about deprecation.
    fn default() -> Self {
        Self { state: PerProcess::new(|_| State::default()) }
    }
}

impl ChildWatcher for MultiLoopChildWatcher {
    fn add_child_handler(&self, pid: i64, _lent: Fd, callback: Callback) -> Result<(), Error> {
        let pid = valid_pid(pid)?;
        self.check_active()?;
        let Some(event_loop) = host::current_loop() else {
            let message = format!(
                "no running event loop: {NAME} calls handlers on the loop that runs when they are added"
            );
            return Err(Error::new(ErrorCode::NO_RUNNING_LOOP, message));
        };
        let replaced = lock(&self.state.get().shared.children).insert(pid, Handler { event_loop, callback });
        drop(replaced);
        // Closed in between: nobody would look at it any more.
        if let Err(error) = self.check_active() {
            drop(self.remove_child_handler(pid.into()));
            return Err(error);
        }
        // Its signal may have come already.
        self.state.get().shared.look_at(pid);
        Ok(())
    }

    fn remove_child_handler(&self, pid: i64) -> Result<bool, Error> {
        let pid = valid_pid(pid)?;
        let removed = lock(&self.state.get().shared.children).remove(&pid);
        Ok(removed.is_some())
    }

    fn attach_loop(&self, _: Option<LoopHandle>) -> Result<(), Error> {
        if self.is_active() {
            return Ok(());
        }
        let shared = Arc::downgrade(&self.state.get().shared);
        let sigchld = Sigchld::subscribe(move |_| {
            if let Some(shared) = shared.upgrade() {
                shared.scan();
            }
        })?;
        // If another thread was as fast, one of the two goes after the lock.
        let before = lock(&self.state.get().sigchld).replace(sigchld);
        drop(before);
        Ok(())
    }

    fn is_active(&self) -> bool {
        lock(&self.state.get().sigchld).is_some()
    }

    fn begin_spawn(&self) -> Result<u64, Error> {
        self.check_active()?;
        Sigchld::verify().map(|()| 0)
    }

    fn end_spawn(&self, _: u64, _: i64) -> Result<(), Error> {
        Ok(())
    }

    fn close(&self) -> Result<(), Error> {
        let sigchld = lock(&self.state.get().sigchld).take();
        drop(sigchld);
        let children = mem::take(&mut *lock(&self.state.get().shared.children));
        drop(children);
        Ok(())
    }

    fn name(&self) -> String {
        NAME.into()
    }
}

impl Drop for MultiLoopChildWatcher {
    fn drop(&mut self) {
        // It cannot fail.
        let _ = self.close();
    }
}

impl Shared {
    /// On the broker's thread.
    fn scan(&self) {
        let pids: Vec<_> = lock(&self.children).keys().copied().collect();
        pids.into_iter().for_each(|pid| self.look_at(pid));
    }

    /// If the child has exited: reaps it here, whatever its loop is doing, and has the loop call the handler.
    fn look_at(&self, pid: i32) {
        if !has_exited(pid) {
            return;
        }
        // Taken out first: whoever has the handler has the status.
        let Some(handler) = lock(&self.children).remove(&pid) else { return };
        match reap(pid) {
            Reaped::StillAlive => self.put_back(pid, handler),
            end => handler.call(pid, end),
        }
    }

    /// It could not be seen whether the child had exited. A handler that was added meanwhile stays.
    fn put_back(&self, pid: i32, handler: Handler) {
        if let Entry::Vacant(place) = lock(&self.children).entry(pid) {
            place.insert(handler);
        }
    }
}

impl Handler {
    fn call(self, pid: i32, end: Reaped) {
        let Self { event_loop, callback } = self;
        let hop = Callback::new(move |_| report(pid, end, callback));
        if let Err(error) = event_loop.call_soon_threadsafe(hop) {
            tracing::warn!("loop {} that handles pid {pid} is closed: {error}", event_loop.name());
        }
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler")
            .field("event_loop", &self.event_loop.name())
            .field("callback", &self.callback.name())
            .finish()
    }
}
