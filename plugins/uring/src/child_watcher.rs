//! `UringChildWatcher`: the exit of a child is an operation of the loop.

use std::{
    collections::{HashMap, hash_map::Entry},
    os::fd::{AsRawFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use libc::ECANCELED;
use loophost_plugin_api::{
    Callback, ChildWatcher, Error, ErrorCode, Fd, HandleId, LoopHandle, Op, OpCode, RepeatCallback,
    host::{self, Reaped},
};

use crate::sys::pidfd;

const NAME: &str = "UringChildWatcher";

/// Children as operations `WAIT_PROCESS`, on any loop that has it. In a ring that is a poll of the pidfd or, with the
/// policy's option `wait=waitid`, a waitid.
///
/// A child belongs to the loop that runs in the thread which adds it, or else to the attached loop, as with
/// `PidfdChildWatcher`. If that loop is closed before the child has exited, the handler is dropped with a warning.
#[derive(Default)]
pub(crate) struct UringChildWatcher {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    children: Mutex<HashMap<i64, Watched>>,
    attached: Mutex<Option<LoopHandle>>,
}

/// A child and its handler.
struct Watched {
    wait: Arc<Wait>,
    callback: Callback,
}

/// The wait for a child. Its address tells an old event from a new child with the same pid.
struct Wait {
    pid: i64,
    /// Our own: the operation may begin after the lent one was closed. `None`: there is no such process any more.
    pidfd: Option<OwnedFd>,
    event_loop: LoopHandle,
    operation: Mutex<Option<HandleId>>,
}

impl UringChildWatcher {
    /// The loop that a child added here and now belongs to.
    fn target(&self) -> Result<LoopHandle, Error> {
        let event_loop = host::current_loop()
            .or_else(|| lock(&self.shared.attached).clone())
            .filter(|event_loop| !event_loop.is_closed());
        let event_loop = event_loop.ok_or_else(|| {
            Error::new(
                ErrorCode::NO_RUNNING_LOOP,
                format!("{NAME} has no event loop here: run one in this thread, or attach_loop one"),
            )
        })?;
        check(&event_loop).map(|()| event_loop)
    }

    /// Puts a handler in the place of an earlier one for the same child; gives it back if there is none.
    fn replace(&self, pid: i64, callback: Callback) -> Option<Callback> {
        let mut children = lock(&self.shared.children);
        let Some(watched) = children.get_mut(&pid) else { return Some(callback) };
        let replaced = std::mem::replace(&mut watched.callback, callback);
        drop(children);
        drop(replaced);
        None
    }
}

impl ChildWatcher for UringChildWatcher {
    fn add_child_handler(&self, pid: i64, lent: Fd, callback: Callback) -> Result<(), Error> {
        check_pid(pid)?;
        let Some(callback) = self.replace(pid, callback) else { return Ok(()) };
        let event_loop = self.target()?;
        let pidfd = if lent < 0 { pidfd::open(pid) } else { pidfd::duplicate(lent).map(Some) }
            .map_err(|error| Error::os(&error, format_args!("opening a pidfd for process {pid}")))?;
        self.shared.begin(Arc::new(Wait { pid, pidfd, event_loop, operation: Mutex::default() }), callback)
    }

    fn remove_child_handler(&self, pid: i64) -> Result<bool, Error> {
        check_pid(pid)?;
        let removed = lock(&self.shared.children).remove(&pid);
        let Some(watched) = removed else { return Ok(false) };
        watched.wait.cancel();
        Ok(true)
    }

    fn attach_loop(&self, event_loop: Option<LoopHandle>) -> Result<(), Error> {
        event_loop.as_ref().map_or(Ok(()), check)?;
        let before = std::mem::replace(&mut *lock(&self.shared.attached), event_loop);
        drop(before);
        Ok(())
    }

    fn is_active(&self) -> bool {
        self.target().is_ok()
    }

    fn begin_spawn(&self) -> Result<u64, Error> {
        self.target().map(|_| 0).map_err(|error| Error::new(ErrorCode::INACTIVE, error.message()))
    }

    fn end_spawn(&self, _: u64, _: i64) -> Result<(), Error> {
        Ok(())
    }

    fn close(&self) -> Result<(), Error> {
        let attached = lock(&self.shared.attached).take();
        let children = std::mem::take(&mut *lock(&self.shared.children));
        children.values().for_each(|watched| watched.wait.cancel());
        drop((attached, children));
        Ok(())
    }

    fn name(&self) -> String {
        NAME.into()
    }
}

impl Drop for UringChildWatcher {
    fn drop(&mut self) {
        // It cannot fail.
        let _ = self.close();
    }
}

impl Shared {
    /// Keeps the handler and has the loop wait; if that fails nothing is kept.
    fn begin(self: &Arc<Self>, wait: Arc<Wait>, callback: Callback) -> Result<(), Error> {
        match lock(&self.children).entry(wait.pid) {
            // Entered first: on a loop of another thread the exit may be noticed before this thread goes on.
            Entry::Vacant(place) => drop(place.insert(Watched { wait: wait.clone(), callback })),
            // Added meanwhile by another thread: that one is the later.
            Entry::Occupied(_) => return Ok(()),
        }
        let begun = wait.submit(Arc::downgrade(self));
        if begun.is_err() {
            let withdrawn = self.take(&wait);
            drop(withdrawn);
        }
        begun
    }

    /// Takes out the handler that belongs to `wait`, if it is still there.
    fn take(&self, wait: &Arc<Wait>) -> Option<Callback> {
        let mut children = lock(&self.children);
        if !Arc::ptr_eq(&children.get(&wait.pid)?.wait, wait) {
            return None;
        }
        children.remove(&wait.pid).map(|watched| watched.callback)
    }

    /// The operation has ended. On the loop's thread; an error goes to the loop's exception handler.
    fn ended(self: &Arc<Self>, wait: &Arc<Wait>, result: i64) -> Result<(), Error> {
        // From here on the handler is running, for whoever wants to remove it.
        let Some(callback) = self.take(wait) else { return Ok(()) };
        let pid = wait.pid;
        let mut reaped = host::reap(pid).unwrap_or_else(|error| {
            tracing::warn!("{error}");
            Reaped::Lost
        });
        if reaped == Reaped::StillAlive {
            // The event came too early, or the thread that had begun the operation has ended.
            if result == 0 || result == -i64::from(ECANCELED) {
                return self.wait_again(wait.clone(), callback);
            }
            let error = std::io::Error::from_raw_os_error(result.unsigned_abs() as i32);
            tracing::warn!("waiting for process {pid}: {error}");
            reaped = Reaped::Lost;
        }
        if matches!(reaped, Reaped::Lost | Reaped::NotOurs) {
            tracing::warn!("child process pid {pid}: its status is not known, will report returncode 255");
        }
        reaped.deliver(pid, |event| callback.call(event)).unwrap_or(Ok(()))
    }

    fn wait_again(self: &Arc<Self>, wait: Arc<Wait>, callback: Callback) -> Result<(), Error> {
        match self.begin(wait.clone(), callback) {
            Err(error) if error.code() == ErrorCode::LOOP_CLOSED => {
                tracing::warn!("loop {} that handles pid {} is closed", wait.event_loop.name(), wait.pid);
                Ok(())
            }
            begun => begun,
        }
    }
}

impl Wait {
    /// Asks the loop for the news: on its thread, or while it is idle.
    fn submit(self: &Arc<Self>, shared: Weak<Shared>) -> Result<(), Error> {
        let wait = self.clone();
        // Without the watcher there are no handlers.
        let ended = move |result| shared.upgrade().map_or(Ok(()), |shared| shared.ended(&wait, result));
        let Some(pidfd) = &self.pidfd else {
            return self.event_loop.call_soon_threadsafe(Callback::new(move |_| ended(0))).map(drop);
        };
        let operation = Op::new(OpCode::WAIT_PROCESS, pidfd.as_raw_fd().into());
        let callback = RepeatCallback::new(move |event| ended(event.result));
        #[allow(unsafe_code, reason = "the promise of an operation's memory")]
        // SAFETY: the operation points to nothing, and the callback keeps the descriptor open.
        let id = unsafe { self.event_loop.submit(&operation, callback) }?;
        *lock(&self.operation) = Some(id);
        Ok(())
    }

    fn cancel(self: &Arc<Self>) {
        let Some(id) = *lock(&self.operation) else { return };
        let Err(error) = self.event_loop.cancel_op(id) else { return };
        if !matches!(error.code(), ErrorCode::WRONG_THREAD | ErrorCode::BUSY) {
            return;
        }
        let wait = self.clone();
        let cancellation = Callback::new(move |_| {
            wait.cancel();
            Ok(())
        });
        // An error means that the loop is closed, and with it all its operations.
        let _ = self.event_loop.call_soon_threadsafe(cancellation);
    }
}

/// Refuses what can be no pid.
fn check_pid(pid: i64) -> Result<(), Error> {
    if (1..=i64::from(i32::MAX)).contains(&pid) {
        return Ok(());
    }
    Err(Error::invalid_argument(format!("{pid} cannot be the pid of a child")))
}

/// Refuses a loop that cannot wait for a process.
fn check(event_loop: &LoopHandle) -> Result<(), Error> {
    if event_loop.is_closed() {
        return Err(Error::loop_closed());
    }
    if event_loop.supports(OpCode::WAIT_PROCESS) {
        return Ok(());
    }
    let message = format!(
        "{NAME} does not work with loop {}, which has no operation wait-process: use --watcher auto",
        event_loop.name()
    );
    Err(Error::new(ErrorCode::NOT_SUPPORTED, message))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
