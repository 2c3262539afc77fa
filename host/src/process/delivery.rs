//! The way of an exit from the watcher's thread to the handler on its loop.

use std::{
    os::fd::AsRawFd,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use super::{
    lock::lock,
    orphans,
    table::{self, Process},
};
use crate::{Callback, ChildExit, Error, Event, LoopHandle, builtin::watchers, host::Reaped};

/// One child's handler. Dropped without having been called, it leaves the child to the process-wide reaper.
pub(super) struct Delivery {
    pid: i32,
    /// `None` once the exit is on its way: whoever is told of it finds the process's descriptors given back.
    process: Mutex<Option<Arc<Process>>>,
    event_loop: LoopHandle,
    on_exit: Mutex<Option<Callback>>,
    /// Whether the watcher was wrong once, and one of ours watches too.
    is_rewatched: AtomicBool,
}

impl Delivery {
    pub(super) fn new(process: Arc<Process>, event_loop: LoopHandle, on_exit: Callback) -> Arc<Self> {
        Arc::new(Self {
            pid: process.pid(),
            process: Mutex::new(Some(process)),
            event_loop,
            on_exit: Mutex::new(Some(on_exit)),
            is_rewatched: AtomicBool::new(false),
        })
    }

    /// What a watcher gets. It keeps the process's pidfd open until it is called or dropped, as long as that is lent.
    pub(super) fn callback(self: &Arc<Self>) -> Callback {
        let delivery = self.clone();
        Callback::new(move |event| {
            delivery.deliver(event);
            Ok(())
        })
    }

    /// The loop that is told.
    pub(super) fn event_loop(&self) -> &LoopHandle {
        &self.event_loop
    }

    /// Nobody can watch the child and nobody can be told by an error: it is killed, the process-wide reaper takes it, and
    /// the handler is told that the status is lost. On the loop's thread.
    pub(super) fn give_up(&self, error: &Error) -> Result<(), Error> {
        let pid = self.pid;
        tracing::error!("process {pid} is killed, for no watcher could take it: {error}");
        if let Some(process) = self.process()
            && let Err(error) = table::send_signal(&process, libc::SIGKILL)
        {
            tracing::debug!("{error}");
        }
        let Some(on_exit) = lock(&self.on_exit).take() else { return Ok(()) };
        Reaped::Lost.deliver(pid.into(), |event| on_exit.call(event)).unwrap_or(Ok(()))
    }

    /// Any thread.
    fn deliver(self: &Arc<Self>, event: &Event) {
        let pid = i64::from(self.pid);
        let Some(process) = self.process() else { return };
        if process.end().is_none() && matches!(table::reap(pid), Ok(Reaped::StillAlive)) {
            if !self.is_rewatched.swap(true, Relaxed) {
                self.watch_again(&process);
            }
            return;
        }
        let Some(on_exit) = lock(&self.on_exit).take() else { return };
        // What the host itself has seen, rather than what a watcher says it was told.
        let end = process.end().unwrap_or_else(|| end_of(event));
        drop(process);
        self.give_back();
        let hop = Callback::new(move |_| end.deliver(pid, |event| on_exit.call(event)).unwrap_or(Ok(())));
        if let Err(error) = self.event_loop.call_soon_threadsafe(hop) {
            self.warn(&error);
        }
    }

    /// The watcher was wrong: the child lives. From now on one of ours watches it.
    fn watch_again(self: &Arc<Self>, process: &Process) {
        let pid = i64::from(self.pid);
        tracing::error!("the child watcher has told of the exit of process {pid}, which lives");
        let pidfd = process.pidfd().map_or(-1, |fd| fd.as_raw_fd().into());
        if let Err(error) = watchers::last_resort().add_child_handler(pid, pidfd, self.callback()) {
            tracing::error!("process {pid} cannot be watched any more: {error}");
        }
    }

    fn process(&self) -> Option<Arc<Process>> {
        lock(&self.process).clone()
    }

    /// Leaves the process to the process-wide reaper, also one that has ended: its status may be kept for us.
    fn give_back(&self) {
        let process = lock(&self.process).take();
        if let Some(process) = process {
            orphans::adopt(process);
        }
    }

    fn warn(&self, error: &Error) {
        let (pid, event_loop) = (self.pid, self.event_loop.name());
        if self.event_loop.is_closed() {
            tracing::warn!("loop {event_loop} that handles pid {pid} is closed");
        } else {
            tracing::warn!("loop {event_loop} could not be told of the exit of pid {pid}: {error}");
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// What an event says, for a watcher that reports an exit without having reaped.
fn end_of(event: &Event) -> Reaped {
    let exit = event.child_exit().unwrap_or_else(|| ChildExit::new(255 << 8));
    if event.flags & Event::STATUS_LOST != 0 {
        Reaped::Lost
    } else if event.flags & Event::RECOVERED != 0 {
        Reaped::Recovered(exit)
    } else {
        Reaped::Exited(exit)
    }
}
