//! `ThreadedChildWatcher`: one thread for each child. Needs no loop and nothing of the kernel.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use super::report::{reap, report};
use crate::{
    Callback, ChildWatcher, Error, Fd, LoopHandle,
    host::Reaped,
    process::{lock, spawn_small_thread, valid_pid},
    sys::{
        per_process::PerProcess,
        pidfd,
        wait::{self, Waited},
    },
};

/// Before it is tried again to wait for a child.
const PAUSE: Duration = Duration::from_millis(100);

/// One thread for each child, which waits for it (asyncio: `ThreadedChildWatcher`).
///
/// The thread only *sees* the exit, the host takes the status. Handlers are called on that thread. Always active, and
/// attached to no loop. Unlike asyncio's, a second handler for a pid replaces the first, and `remove_child_handler`
/// works; the thread then stays until the child has exited, and is the one that tells of it if it is added again.
#[derive(Debug)]
pub struct ThreadedChildWatcher {
    /// A forked child begins with none of it.
    shared: PerProcess<Arc<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By pid: the handler that the thread which waits for it is to call, `None` once it was removed.
    waiting: HashMap<i32, Option<Callback>>,
    /// How many threads were started: their numbers.
    threads: u64,
}

impl ThreadedChildWatcher {
    /// A watcher with no children.
    pub fn new() -> Self {
        Self { shared: PerProcess::new(|_| Arc::default()) }
    }
}

impl Default for ThreadedChildWatcher {
    fn default() -> Self {
        Self::new()
    }
}

impl ChildWatcher for ThreadedChildWatcher {
    fn add_child_handler(&self, pid: i64, lent: Fd, callback: Callback) -> Result<(), Error> {
        let pid = valid_pid(pid)?;
        // A copy, because a thread whose handler was removed still waits. Without one the pid has to do.
        let pidfd = if lent < 0 { None } else { pidfd::duplicate(lent).ok() };
        let mut state = lock(&self.shared.get().state);
        if let Some(handler) = state.waiting.get_mut(&pid) {
            let replaced = handler.replace(callback);
            drop(state);
            drop(replaced);
            return Ok(());
        }
        let shared = self.shared.get().clone();
        // Under the lock, so that nobody finds a handler whose thread does not start; the thread itself looks for it
        // only when the child has exited.
        let started =
            spawn_small_thread(format!("waitpid-{}", state.threads), move || shared.wait(pid, pidfd));
        if let Err(error) = started {
            drop(state);
            return Err(Error::os(&error, format_args!("starting a thread that waits for process {pid}")));
        }
        state.threads += 1;
        state.waiting.insert(pid, Some(callback));
        Ok(())
    }

    fn remove_child_handler(&self, pid: i64) -> Result<bool, Error> {
        let pid = valid_pid(pid)?;
        let removed = lock(&self.shared.get().state).waiting.get_mut(&pid).and_then(Option::take);
        Ok(removed.is_some())
    }

    fn attach_loop(&self, _: Option<LoopHandle>) -> Result<(), Error> {
        Ok(())
    }

    fn is_active(&self) -> bool {
        true
    }

    fn begin_spawn(&self) -> Result<u64, Error> {
        Ok(0)
    }

    fn end_spawn(&self, _: u64, _: i64) -> Result<(), Error> {
        Ok(())
    }

    fn close(&self) -> Result<(), Error> {
        let handlers = self.shared.get().take_all();
        drop(handlers);
        Ok(())
    }

    fn name(&self) -> String {
        "ThreadedChildWatcher".into()
    }
}

impl Drop for ThreadedChildWatcher {
    fn drop(&mut self) {
        let pending = self.shared.get().take_all();
        if !pending.is_empty() {
            tracing::warn!(
                "a child watcher was dropped that has registered but not finished child processes: {:?}",
                pending.keys()
            );
        }
    }
}

impl Shared {
    /// The thread. There is one for each pid that is in `waiting`, and it takes it out when it ends.
    fn wait(&self, pid: i32, mut pidfd: Option<OwnedFd>) {
        loop {
            if let Err(error) = until_exited(pid, pidfd.as_ref()) {
                tracing::warn!("waiting for process {pid}: {error}");
            }
            // Taken out first: whoever has the handler has the status.
            let Some(callback) = lock(&self.state).waiting.remove(&pid).flatten() else { return };
            match reap(pid) {
                // The wait has failed, or the child whose handler was removed was reaped, and the handler is that of
                // another one with its pid.
                Reaped::StillAlive => {
                    if !self.put_back(pid, callback) {
                        return;
                    }
                }
                end => {
                    // Whoever is told may need the descriptor for the next child.
                    drop(pidfd);
                    if let Err(error) = report(pid, end, callback) {
                        tracing::error!("the handler of process {pid} failed: {error}");
                    }
                    return;
                }
            }
            pidfd = None;
            thread::sleep(PAUSE);
        }
    }

    /// False if a handler was added meanwhile: that stays, and has a thread of its own.
    fn put_back(&self, pid: i32, callback: Callback) -> bool {
        match lock(&self.state).waiting.entry(pid) {
            Entry::Vacant(place) => place.insert(Some(callback)).is_some(),
            Entry::Occupied(_) => false,
        }
    }

    /// The handlers of all children.
    fn take_all(&self) -> HashMap<i32, Callback> {
        let mut state = lock(&self.state);
        state.waiting.iter_mut().filter_map(|(pid, handler)| Some((*pid, handler.take()?))).collect()
    }
}

fn until_exited(pid: i32, pidfd: Option<&OwnedFd>) -> io::Result<()> {
    while wait::until_exited(pid, pidfd.map(AsFd::as_fd))? == Waited::Alive {}
    Ok(())
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("pids", &self.waiting.keys()).field("threads", &self.threads).finish()
    }
}
