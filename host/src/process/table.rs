//! The children that live, under the one lock that reaping and signalling share.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard},
};

use super::lock::lock;
use crate::{
    ChildExit, Error, ErrorCode,
    host::Reaped,
    sys::{
        kill::kill,
        per_process::PerProcess,
        pidfd,
        wait::{self, Waited},
    },
};

/// A process that we started.
#[derive(Debug)]
pub(super) struct Process {
    pid: i32,
    pidfd: Option<OwnedFd>,
    /// Set under the table's lock, in the same step in which the status is taken.
    end: OnceLock<Reaped>,
}

impl Process {
    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    pub(super) fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }

    /// How it ended; `None` until it was reaped.
    pub(super) fn end(&self) -> Option<Reaped> {
        self.end.get().copied()
    }
}

#[derive(Debug)]
struct Entry {
    process: Arc<Process>,
    /// Whether the process-wide reaper has taken the status, and nobody has asked for it yet. The pid may be in use
    /// again then.
    unclaimed: bool,
    /// Whether the process has a handle, and so somebody who may ask.
    has_handle: bool,
}

type Table = HashMap<i32, Entry>;

fn table() -> MutexGuard<'static, Table> {
    // A forked child has no children yet; those of its parent are none of its business.
    static TABLE: PerProcess<Mutex<Table>> = PerProcess::new(|_| Mutex::default());
    lock(TABLE.get())
}

fn birth() -> &'static RwLock<()> {
    static BIRTH: PerProcess<RwLock<()>> = PerProcess::new(|_| RwLock::default());
    BIRTH.get()
}

/// Held from before a process is made until it was entered, so that nobody takes it for a stranger meanwhile.
pub(super) fn begin_birth() -> RwLockReadGuard<'static, ()> {
    birth().read().unwrap_or_else(PoisonError::into_inner)
}

/// Enters a process that was just started.
pub(super) fn insert(pid: i32, pidfd: Option<OwnedFd>) -> Arc<Process> {
    let process = Arc::new(Process { pid, pidfd, end: OnceLock::new() });
    let entry = Entry { process: process.clone(), unclaimed: false, has_handle: true };
    let before = table().insert(pid, entry);
    // The pid was free: whoever was entered under it has been reaped behind our back.
    if let Some(Entry { process, .. }) = before {
        let _ = process.end.set(stolen(&process));
    }
    process
}

/// See [`super::reap`].
pub(super) fn reap(pid: i64) -> Result<Reaped, Error> {
    let pid = valid_pid(pid)?;
    let mut table = table();
    let process = table.get(&pid).map(|entry| entry.process.clone());
    let reaped = match &process {
        Some(process) if process.end().is_none() => take(process)?,
        // Not ours, or ours and reaped for nobody: then the pid may belong to another child by now.
        reaped => match wait::take(pid, None).map_err(|error| cannot_tell(pid, &error))? {
            Waited::Exited(exit) => Reaped::Exited(exit),
            Waited::Alive => Reaped::StillAlive,
            Waited::NoChild => reaped.as_ref().and_then(|process| process.end()).unwrap_or(Reaped::NotOurs),
        },
    };
    if reaped != Reaped::StillAlive {
        table.remove(&pid);
    }
    Ok(reaped)
}

/// Reaps a process that lost its keeper; true if it has ended. The status stays for whoever may ask for it while the
/// process has a handle.
pub(super) fn reap_unclaimed(process: &Arc<Process>) -> bool {
    let mut table = table();
    let taken = if process.end().is_some() { Ok(()) } else { take(process).map(drop) };
    if taken.is_err() {
        let _ = process.end.set(Reaped::Lost);
    }
    if process.end().is_none() {
        return false;
    }
    if let Some(entry) = table.get_mut(&process.pid)
        && Arc::ptr_eq(&entry.process, process)
    {
        entry.unclaimed = true;
        if !entry.has_handle {
            table.remove(&process.pid);
        }
    }
    drop(table);
    if let Err(error) = taken {
        tracing::warn!("giving up a child: {error}");
    }
    true
}

/// Whose statuses [`reap_next`] may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Of processes that were started here.
    Ours,
    /// Of all others: adopted orphans, and what other code of the program has forked.
    Strangers,
    Everybody,
}

/// What [`reap_next`] has found.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Next {
    /// The status of one was taken. One of ours keeps it for its keeper, until somebody [`claim`]s it.
    Reaped { pid: i32, end: Reaped, ours: bool },
    /// The first that has exited is not among those that were meant. It hides the others until somebody reaps it.
    InTheWay,
    /// Nobody else has exited.
    Nobody,
}

/// Takes the status of some child that has exited, and marks it gone if it is ours. Never waits for a child, but for
/// processes that are being started.
pub(crate) fn reap_next(whose: Whose) -> io::Result<Next> {
    // Who was just born and is not entered yet would be taken for a stranger.
    let _no_births = birth().write().unwrap_or_else(PoisonError::into_inner);
    // While this is held nobody of ours reaps, so the pid still means the same child below.
    let mut table = table();
    while let Some(pid) = wait::peek_any()? {
        let ours = table.get_mut(&pid).filter(|entry| entry.process.end().is_none());
        let (end, ours) = match (ours, whose) {
            (Some(_), Whose::Strangers) | (None, Whose::Ours) => return Ok(Next::InTheWay),
            (Some(entry), _) => {
                let end = take(&entry.process).map_err(io::Error::other)?;
                entry.unclaimed = true;
                (end, true)
            }
            (None, _) => match wait::take(pid, None)? {
                Waited::Exited(exit) => (Reaped::Exited(exit), false),
                // Whoever else has a claim on it was faster.
                Waited::Alive | Waited::NoChild => continue,
            },
        };
        return Ok(Next::Reaped { pid, end, ours });
    }
    Ok(Next::Nobody)
}

/// The status that [`reap_next`] has taken is on its way to whoever waits for it: it need not be kept.
pub(crate) fn claim(pid: i32) {
    let mut table = table();
    if table.get(&pid).is_some_and(|entry| entry.unclaimed) {
        table.remove(&pid);
    }
}

/// The handle of a process is gone: nobody can ask any more for a status that is kept.
pub(super) fn forget(process: &Arc<Process>) {
    let mut table = table();
    if let Some(entry) = table.get_mut(&process.pid)
        && Arc::ptr_eq(&entry.process, process)
    {
        entry.has_handle = false;
        if entry.unclaimed {
            table.remove(&process.pid);
        }
    }
}

/// Sends a signal, unless the process was reaped.
pub(super) fn send_signal(process: &Process, signum: i32) -> Result<(), Error> {
    signal(process, signum, || match process.pidfd() {
        Some(pidfd) => match pidfd::send_signal(pidfd, signum) {
            // A filter that knows pidfd_open and not this; if it is the process that forbids it, kill fails too.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                kill(process.pid, signum)
            }
            other => other,
        },
        None => kill(process.pid, signum),
    })
}

/// Sends a signal to the group that the process leads. After the process was reaped that takes a pidfd, and a kernel that
/// can do it.
pub(super) fn send_signal_to_group(process: &Process, signum: i32) -> Result<(), Error> {
    match process.pidfd().map(|pidfd| pidfd::send_signal_to_group(pidfd, signum)) {
        Some(Ok(())) => Ok(()),
        Some(Err(error)) if error.raw_os_error() == Some(libc::ESRCH) => Err(gone(process.pid)),
        // The kernel cannot, or a filter forbids it.
        _ => signal(process, signum, || kill(-process.pid, signum)),
    }
}

fn signal(process: &Process, signum: i32, send: impl FnOnce() -> io::Result<()>) -> Result<(), Error> {
    // While this is held nobody of ours reaps, so the pid still means the process, if only as a zombie.
    let _table = table();
    if process.end().is_some() {
        return Err(gone(process.pid));
    }
    send().map_err(|error| match error.raw_os_error() {
        Some(libc::ESRCH) => gone(process.pid),
        Some(libc::EINVAL) => Error::invalid_argument(format!("{signum} is no signal")),
        _ => Error::os(&error, format_args!("sending signal {signum} to process {}", process.pid)),
    })
}

/// The pid as the system has it.
///
/// # Errors
/// `InvalidArgument` for a number that can be no child's.
pub(crate) fn valid_pid(pid: i64) -> Result<i32, Error> {
    i32::try_from(pid)
        .ok()
        .filter(|pid| *pid > 0)
        .ok_or_else(|| Error::invalid_argument(format!("{pid} cannot be the pid of a child")))
}

/// Takes the status and marks the process gone. The caller holds the table.
fn take(process: &Process) -> Result<Reaped, Error> {
    let reaped = match wait::take(process.pid, process.pidfd()) {
        Ok(Waited::Alive) => return Ok(Reaped::StillAlive),
        Ok(Waited::Exited(exit)) => Reaped::Exited(exit),
        Ok(Waited::NoChild) => stolen(process),
        Err(error) => return Err(cannot_tell(process.pid, &error)),
    };
    let _ = process.end.set(reaped);
    Ok(reaped)
}

/// What is known of a process whose status somebody else has taken.
fn stolen(process: &Process) -> Reaped {
    match process.pidfd().and_then(pidfd::status_after_reaping) {
        Some(status) => Reaped::Recovered(ChildExit::new(status)),
        None => Reaped::Lost,
    }
}

fn cannot_tell(pid: i32, error: &io::Error) -> Error {
    Error::os(error, format_args!("asking for the status of process {pid}"))
}

fn gone(pid: i32) -> Error {
    Error::new(ErrorCode::PROCESS_GONE, format!("process {pid} has exited and was reaped"))
}
