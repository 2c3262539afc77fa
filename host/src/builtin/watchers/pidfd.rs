//! `PidfdChildWatcher`: a pidfd for each child, read by a loop. One exit costs the same however many children there are.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt, io,
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use super::report::{reap, report};
use crate::{
    Callback, ChildWatcher, Error, ErrorCode, Fd, LoopHandle, RepeatCallback,
    host::{self, Reaped},
    process::{PidfdProbe, lock, valid_pid},
    sys::{
        per_process::PerProcess,
        pidfd,
        wait::{self, Waited},
    },
};

pub(super) const NAME: &str = "PidfdChildWatcher";

/// Children as readers of an event loop (asyncio: `PidfdChildWatcher`).
///
/// A child belongs to the loop that runs in the thread which adds it, or else to the attached loop; its handler is
/// called on that loop's thread. Attaching another loop changes where new children go, and nothing for the old ones.
/// Unlike asyncio's, a second handler for a pid replaces the first, `remove_child_handler` works, and with neither a
/// running nor an attached loop the watcher is not active. If a loop is closed before its child has exited, the handler
/// is dropped with a warning.
#[derive(Debug)]
pub struct PidfdChildWatcher {
    /// A forked child begins with none of it.
    shared: PerProcess<Arc<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    children: Mutex<HashMap<i32, Watch>>,
    attached: Mutex<Option<LoopHandle>>,
}

/// A child and its handler.
struct Watch {
    source: Arc<Source>,
    callback: Callback,
}

/// Where the news of a child's exit comes from. Its address tells an old event from a new child with the same pid.
#[derive(Debug)]
struct Source {
    pid: i32,
    /// Our own, so that it stays open until the reader is gone. `None`: the child has exited, the loop was told to come
    /// back.
    pidfd: Option<OwnedFd>,
    event_loop: LoopHandle,
    /// Whether the loop has accepted the reader.
    registered: AtomicBool,
}

impl PidfdChildWatcher {
    /// A watcher with no children, attached to no loop.
    pub fn new() -> Self {
        Self { shared: PerProcess::new(|_| Arc::default()) }
    }

    /// The loop that a child added here and now belongs to.
    fn target(&self) -> Option<LoopHandle> {
        host::current_loop()
            .or_else(|| lock(&self.shared.get().attached).clone())
            .filter(|event_loop| !event_loop.is_closed())
    }

    /// Puts a handler in the place of an earlier one for the same child; gives it back if there is none.
    fn replace(&self, pid: i32, callback: Callback) -> Option<Callback> {
        let mut children = lock(&self.shared.get().children);
        let Some(watch) = children.get_mut(&pid) else { return Some(callback) };
        let replaced = std::mem::replace(&mut watch.callback, callback);
        drop(children);
        drop(replaced);
        None
    }
}

impl Default for PidfdChildWatcher {
    fn default() -> Self {
        Self::new()
    }
}

impl ChildWatcher for PidfdChildWatcher {
    fn add_child_handler(&self, pid: i64, lent: Fd, callback: Callback) -> Result<(), Error> {
        let pid = valid_pid(pid)?;
        let Some(callback) = self.replace(pid, callback) else { return Ok(()) };
        let event_loop = self.target().ok_or_else(no_loop)?;
        if lent < 0 && !PidfdProbe::get().works {
            let reason = &PidfdProbe::get().reason;
            return Err(Error::new(ErrorCode::NOT_SUPPORTED, format!("{NAME} does not work here: {reason}")));
        }
        let pidfd = open(pid, lent)
            .map_err(|error| Error::os(&error, format_args!("opening a pidfd for process {pid}")))?;
        let source = Arc::new(Source { pid, pidfd, event_loop, registered: AtomicBool::new(false) });
        // Entered first: on a loop of another thread the exit may be noticed before this thread goes on.
        let watch = Watch { source: source.clone(), callback };
        let before = lock(&self.shared.get().children).insert(pid, watch);
        if let Some(before) = before {
            before.source.unregister();
        }
        let registered = source.register(Arc::downgrade(self.shared.get()));
        if registered.is_err() {
            let withdrawn = self.shared.get().take(&source);
            drop(withdrawn);
        }
        registered
    }

    fn remove_child_handler(&self, pid: i64) -> Result<bool, Error> {
        let pid = valid_pid(pid)?;
        let removed = lock(&self.shared.get().children).remove(&pid);
        let Some(watch) = removed else { return Ok(false) };
        watch.source.unregister();
        Ok(true)
    }

    fn attach_loop(&self, event_loop: Option<LoopHandle>) -> Result<(), Error> {
        let before = std::mem::replace(&mut *lock(&self.shared.get().attached), event_loop);
        drop(before);
        Ok(())
    }

    fn is_active(&self) -> bool {
        self.target().is_some()
    }

    fn begin_spawn(&self) -> Result<u64, Error> {
        self.target().map(|_| 0).ok_or_else(|| {
            Error::new(
                ErrorCode::INACTIVE,
                format!("{NAME} has no event loop here: run one in this thread, or attach_loop one"),
            )
        })
    }

    fn end_spawn(&self, _: u64, _: i64) -> Result<(), Error> {
        Ok(())
    }

    fn close(&self) -> Result<(), Error> {
        let attached = lock(&self.shared.get().attached).take();
        let children = std::mem::take(&mut *lock(&self.shared.get().children));
        for watch in children.values() {
            watch.source.unregister();
        }
        drop((attached, children));
        Ok(())
    }

    fn name(&self) -> String {
        NAME.into()
    }
}

impl Drop for PidfdChildWatcher {
    fn drop(&mut self) {
        // It cannot fail.
        let _ = self.close();
    }
}

impl Shared {
    /// Takes out the handler that belongs to `source`, if it is still there.
    fn take(&self, source: &Arc<Source>) -> Option<Callback> {
        let mut children = lock(&self.children);
        if !Arc::ptr_eq(&children.get(&source.pid)?.source, source) {
            return None;
        }
        children.remove(&source.pid).map(|watch| watch.callback)
    }

    /// The pidfd is readable. On the loop's thread; an error goes to the loop's exception handler.
    fn exited(&self, source: &Arc<Source>) -> Result<(), Error> {
        // From here on the handler is running, for whoever wants to remove it.
        let Some(callback) = self.take(source) else { return Ok(()) };
        let reaped = reap(source.pid);
        if reaped == Reaped::StillAlive {
            self.put_back(source, callback);
            return Ok(());
        }
        source.unregister();
        report(source.pid, reaped, callback)
    }

    /// The event came too early. A handler that was added meanwhile stays.
    fn put_back(&self, source: &Arc<Source>, callback: Callback) {
        let mut children = lock(&self.children);
        if let Entry::Vacant(place) = children.entry(source.pid) {
            place.insert(Watch { source: source.clone(), callback });
        }
    }
}

impl Source {
    /// Asks the loop for the news: on its thread, or while it is idle.
    fn register(self: &Arc<Self>, shared: Weak<Shared>) -> Result<(), Error> {
        let reader = Reader { source: self.clone(), shared };
        match &self.pidfd {
            Some(fd) => {
                let callback = RepeatCallback::new(move |_| reader.exited());
                self.event_loop.add_reader(fd.as_raw_fd().into(), callback)?;
            }
            None => {
                self.event_loop.call_soon_threadsafe(Callback::new(move |_| reader.exited()))?;
            }
        }
        self.registered.store(true, SeqCst);
        // Closed before that was seen: then nobody has taken the handler back.
        if self.event_loop.is_closed() {
            let message = format!("loop {} was closed", self.event_loop.name());
            return Err(Error::new(ErrorCode::LOOP_CLOSED, message));
        }
        Ok(())
    }

    /// Removes the reader: always before the pidfd is closed, for epoll would go on reporting it as long as a child that
    /// is just being spawned holds a copy.
    fn unregister(self: &Arc<Self>) {
        let Some(fd) = &self.pidfd else { return };
        let Err(error) = self.event_loop.remove_reader(fd.as_raw_fd().into()) else { return };
        if !matches!(error.code(), ErrorCode::WRONG_THREAD | ErrorCode::BUSY) {
            return;
        }
        let source = self.clone();
        let removal = Callback::new(move |_| {
            source.unregister();
            Ok(())
        });
        // An error means that the loop is closed, and with it all its readers.
        let _ = self.event_loop.call_soon_threadsafe(removal);
    }
}

/// What the loop holds of a source.
struct Reader {
    source: Arc<Source>,
    shared: Weak<Shared>,
}

impl Reader {
    fn exited(&self) -> Result<(), Error> {
        // Without the watcher there are no handlers.
        self.shared.upgrade().map_or(Ok(()), |shared| shared.exited(&self.source))
    }
}

impl Drop for Reader {
    /// Dropped with its handler still there: it was the loop that dropped it.
    fn drop(&mut self) {
        if !self.source.registered.load(SeqCst) {
            return;
        }
        let Some(callback) = self.shared.upgrade().and_then(|shared| shared.take(&self.source)) else {
            return;
        };
        let (event_loop, pid) = (self.source.event_loop.name(), self.source.pid);
        tracing::warn!("loop {event_loop} that handles pid {pid} is closed");
        drop(callback);
    }
}

/// A pidfd of our own; `None` if the child has exited already, or is none of ours: then there is nothing to wait for.
fn open(pid: i32, lent: Fd) -> io::Result<Option<OwnedFd>> {
    let opened = if lent < 0 { pidfd::open(pid) } else { pidfd::duplicate(lent) };
    match opened {
        Ok(fd) => Ok(Some(fd)),
        // Some kernels say EINVAL while the process is dying.
        Err(error) if lent < 0 && matches!(error.raw_os_error(), Some(libc::ESRCH | libc::EINVAL)) => {
            match wait::peek(pid)? {
                Waited::Alive => Err(error),
                Waited::Exited(_) | Waited::NoChild => Ok(None),
            }
        }
        Err(error) => Err(error),
    }
}

fn no_loop() -> Error {
    Error::new(
        ErrorCode::NO_RUNNING_LOOP,
        format!(
            "no running event loop, and {NAME} is attached to none: run one in this thread, or attach_loop one"
        ),
    )
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("source", &self.source)
            .field("callback", &self.callback.name())
            .finish()
    }
}
