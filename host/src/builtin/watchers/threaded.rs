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
/// works; the thread then stays until the child has exited.
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
    handlers: HashMap<i32, Handler>,
    /// How many threads were started: their numbers.
    threads: u64,
}

struct Handler {
    /// The thread that may call it.
    thread: u64,
    callback: Callback,
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
        if let Some(handler) = state.handlers.get_mut(&pid) {
            let replaced = std::mem::replace(&mut handler.callback, callback);
            drop(state);
            drop(replaced);
            return Ok(());
        }
        let thread = state.threads;
        let shared = self.shared.get().clone();
        // Under the lock, so that nobody finds a handler whose thread does not start; the thread itself looks for it
        // only when the child has exited.
        let started = spawn_small_thread(format!("waitpid-{thread}"), move || {
            shared.wait(pid, pidfd, thread);
        });
        if let Err(error) = started {
            drop(state);
            return Err(Error::os(&error, format_args!("starting a thread that waits for process {pid}")));
        }
        state.threads += 1;
        state.handlers.insert(pid, Handler { thread, callback });
        Ok(())
    }

    fn remove_child_handler(&self, pid: i64) -> Result<bool, Error> {
        let pid = valid_pid(pid)?;
        let removed = lock(&self.shared.get().state).handlers.remove(&pid);
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
        let handlers = std::mem::take(&mut lock(&self.shared.get().state).handlers);
        drop(handlers);
        Ok(())
    }

    fn name(&self) -> String {
        "ThreadedChildWatcher".into()
    }
}

impl Drop for ThreadedChildWatcher {
    fn drop(&mut self) {
        let pending = std::mem::take(&mut lock(&self.shared.get().state).handlers);
        if !pending.is_empty() {
            tracing::warn!(
                "a child watcher was dropped that has registered but not finished child processes: {:?}",
                pending.keys()
            );
        }
    }
}

impl Shared {
    /// The thread.
    fn wait(&self, pid: i32, pidfd: Option<OwnedFd>, thread: u64) {
        loop {
            if let Err(error) = until_exited(pid, pidfd.as_ref()) {
                tracing::warn!("waiting for process {pid}: {error}");
            }
            // Taken out first: whoever has the handler has the status.
            let Some(callback) = self.take(pid, thread) else { return };
            match reap(pid) {
                // The wait has failed, or has ended too early.
                Reaped::StillAlive => self.put_back(pid, Handler { thread, callback }),
                end => {
                    // Whoever is told may need the descriptor for the next child.
                    drop(pidfd);
                    if let Err(error) = report(pid, end, callback) {
                        tracing::error!("the handler of process {pid} failed: {error}");
                    }
                    return;
                }
            }
            thread::sleep(PAUSE);
        }
    }

    /// A handler that was added meanwhile stays instead, and has a thread of its own.
    fn put_back(&self, pid: i32, handler: Handler) {
        if let Entry::Vacant(place) = lock(&self.state).handlers.entry(pid) {
            place.insert(handler);
        }
    }

    /// The handler, if it is still this thread's.
    fn take(&self, pid: i32, thread: u64) -> Option<Callback> {
        let mut state = lock(&self.state);
        let handler = state.handlers.remove(&pid)?;
        if handler.thread == thread {
            return Some(handler.callback);
        }
        state.handlers.insert(pid, handler);
        None
    }
}

fn until_exited(pid: i32, pidfd: Option<&OwnedFd>) -> io::Result<()> {
    while wait::until_exited(pid, pidfd.map(AsFd::as_fd))? == Waited::Alive {}
    Ok(())
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("pids", &self.handlers.keys()).field("threads", &self.threads).finish()
    }
}
