//! What the suite needs of the host and the system.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    fmt,
    os::fd::{BorrowedFd, OwnedFd},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use loophost_plugin_api::{Callback, Error, Fd, LoopHandle};

use crate::verdict::{Verdict, failed};

/// What the suite needs besides the subject: processes, signals, and a look at this process. The library `loophost`
/// implements it (`loophost::testing::HostHarness`).
///
/// All methods: any thread, unless noted.
pub trait Harness {
    /// How long a case waits for what should happen at once before it fails. Longer than anything takes on the busiest
    /// machine; a case that passes never waits that long.
    fn patience(&self) -> Duration {
        Duration::from_secs(30)
    }

    /// A loop that works: for the cases of watchers, and as another loop than the subject.
    fn new_event_loop(&self) -> Result<LoopHandle, Error>;

    /// asyncio's `get_event_loop` of the module, the running loop first and then the policy of the process; called from
    /// inside callbacks too.
    fn loop_getter(&self) -> fn() -> Result<LoopHandle, Error>;

    /// Starting programs, also from inside callbacks.
    fn processes(&self) -> Arc<dyn Processes>;

    /// Waits until a child has exited, and leaves its status.
    fn wait_for_exit(&self, pid: i64) -> Result<(), Error>;

    /// Takes the status of a child behind the host's back, as foreign code does that calls waitpid(2). Waits for it.
    fn steal_status(&self, pid: i64) -> Result<(), Error>;

    /// Whether there is such a process, if only as a zombie.
    fn exists(&self, pid: i64) -> bool;

    /// Sends a signal to this process.
    fn raise(&self, signum: i32) -> Result<(), Error>;

    /// Makes something else the disposition of a signal, behind the host's back, until the guard is dropped.
    fn disturb_signal(&self, signum: i32, disturbance: Disturbance) -> Result<Box<dyn Any>, Error>;

    /// Whether this is the main thread.
    fn is_main_thread(&self) -> bool;

    /// What a plugin must not change.
    fn system_state(&self) -> Result<SystemState, Error>;

    /// Makes `old`'s number stand for what `new` is open for (dup2), as when a program closes a descriptor and its number
    /// is used again.
    fn reuse_number(&self, new: BorrowedFd<'_>, old: &mut OwnedFd) -> Result<(), Error>;

    /// A TCP socket for IPv4 that is not connected.
    fn stream_socket(&self) -> Result<OwnedFd, Error>;
}

/// Starts programs. Any thread.
pub trait Processes: Send + Sync {
    /// Starts a program that no watcher knows.
    fn spawn(&self, program: &Program) -> Result<Box<dyn Child>, Error>;

    /// asyncio's `subprocess_exec`: starts a program under the watcher of the policy of the process; `on_exit` is called
    /// in the loop.
    fn subprocess_exec(
        &self,
        event_loop: &LoopHandle,
        program: &Program,
        on_exit: Callback,
    ) -> Result<Box<dyn Child>, Error>;
}

/// What foreign code does with a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// It is ignored: the kernel reaps children by itself if it is SIGCHLD.
    Ignored,
    /// It is blocked in this thread.
    Blocked,
    /// A handler that does nothing takes the place of whatever is there.
    HandlerReplaced,
}

/// A script for `sh`, and which streams are pipes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// What runs the script: `sh`, looked for in `PATH`, unless the case is about a program that there is not.
    pub shell: String,
    /// The script.
    pub script: String,
    /// Descriptor 0 is a pipe; otherwise nothing.
    pub stdin: bool,
    /// Descriptor 1 is a pipe; otherwise nothing.
    pub stdout: bool,
    /// It leads a session of its own.
    pub new_session: bool,
}

impl Program {
    /// A script with no pipes.
    pub fn new(script: impl Into<String>) -> Self {
        let shell = "sh".to_owned();
        Self { shell, script: script.into(), stdin: false, stdout: false, new_session: false }
    }

    /// Lives until its standard input is closed, and then runs the script.
    pub fn waiting(script: &str) -> Self {
        Self { stdin: true, ..Self::new(format!("read line; {script}")) }
    }
}

/// A program that was started. Dropped, it goes on, and leaves no zombie.
pub trait Child: Send {
    /// The pid.
    fn pid(&self) -> i64;

    /// The pidfd, lent; −1 where there are none.
    fn pidfd(&self) -> Fd;

    /// asyncio's returncode, once the *host* has taken the status; 255 if somebody else was faster.
    fn returncode(&self) -> Option<i32>;

    /// Whether the host itself has taken the status, and not found it taken.
    fn was_reaped_by_host(&self) -> bool;

    /// Sends a signal.
    ///
    /// # Errors
    /// `PROCESS_GONE` once it was reaped.
    fn send_signal(&self, signum: i32) -> Result<(), Error>;

    /// Our end of its standard input, once.
    fn take_stdin(&mut self) -> Option<OwnedFd>;

    /// Our end of its standard output, once.
    fn take_stdout(&mut self) -> Option<OwnedFd>;
}

/// What of a process is nobody's to change but its owner's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemState {
    /// Open descriptors, with what they are open for.
    pub descriptors: BTreeMap<i32, String>,
    /// Those of them that a program which is started here would inherit.
    pub inheritable: BTreeSet<i32>,
    /// The numbers of the threads, with their names.
    pub threads: BTreeMap<i32, String>,
    /// The disposition of each signal and this thread's mask, as text that differs if they do.
    pub signals: BTreeMap<String, String>,
    /// The working folder.
    pub working_folder: PathBuf,
    /// The mask for new files.
    pub umask: String,
    /// The children, zombies included.
    pub children: Vec<i64>,
}

impl SystemState {
    /// Dispositions and mask are what they were.
    #[track_caller]
    pub(crate) fn same_signals(&self, before: &Self) -> Verdict<()> {
        differences("", &before.signals, &self.signals)
    }

    /// The same descriptors are open for the same things.
    #[track_caller]
    pub(crate) fn same_descriptors(&self, before: &Self) -> Verdict<()> {
        differences("descriptor ", &before.descriptors, &self.descriptors)
    }
}

#[track_caller]
fn differences<K: Ord + fmt::Display>(
    what: &str,
    before: &BTreeMap<K, String>,
    after: &BTreeMap<K, String>,
) -> Verdict<()> {
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let nothing = "nothing".to_owned();
    let of = |map: &BTreeMap<K, String>, key| map.get(key).unwrap_or(&nothing).clone();
    let changed: Vec<_> = keys
        .into_iter()
        .filter(|key| before.get(key) != after.get(key))
        .map(|key| format!("{what}{key} was {}, is {}", of(before, key), of(after, key)))
        .collect();
    if changed.is_empty() { Ok(()) } else { Err(failed(changed.join("; "))) }
}
