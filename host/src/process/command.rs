//! What to start.

use std::{
    ffi::{OsStr, OsString},
    os::fd::OwnedFd,
    path::PathBuf,
};

use super::{SignalSet, environment::Environment};

/// A program and how it is to be started.
///
/// By default a child inherits environment, folder, standard streams and process group, and starts with no signal
/// blocked and none ignored, whatever its parent does. A name without a slash is looked for in the child's `PATH`; a
/// relative path starts at the child's working folder.
///
/// ```
/// use loophost::process::{Command, Stdio};
///
/// let list = Command::new("ls").arg("-l").working_folder("/").stdout(Stdio::Null);
/// let child = loophost::process::spawn(list)?;
/// # Ok::<(), loophost::process::SpawnError>(())
/// ```
#[derive(Debug)]
#[must_use = "a command does nothing until it is started"]
pub struct Command {
    pub(super) program: OsString,
    pub(super) args: Vec<OsString>,
    pub(super) environment: Environment,
    pub(super) folder: Option<PathBuf>,
    pub(super) stdio: [Stdio; 3],
    pub(super) new_session: bool,
    pub(super) process_group: Option<i32>,
    pub(super) terminal: Option<OwnedFd>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) groups: Option<Vec<u32>>,
    pub(super) death_signal: Option<i32>,
    pub(super) signal_mask: SignalSet,
    pub(super) default_signals: SignalSet,
    #[cfg(feature = "async")]
    pub(super) kill_on_drop: bool,
}

/// What one of a child's standard streams is.
#[derive(Debug, Default)]
pub enum Stdio {
    /// The parent's.
    #[default]
    Inherit,
    /// `/dev/null`.
    Null,
    /// A pipe, whose other end is in the [`Child`](super::Child): blocking, close-on-exec.
    Pipe,
    /// A copy of this descriptor; the parent's is closed when the command was started or dropped.
    Fd(OwnedFd),
    /// Not open.
    Closed,
}

impl Command {
    /// The program with no arguments.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            environment: Environment::default(),
            folder: None,
            stdio: [Stdio::Inherit, Stdio::Inherit, Stdio::Inherit],
            new_session: false,
            process_group: None,
            terminal: None,
            uid: None,
            gid: None,
            groups: None,
            death_signal: None,
            signal_mask: SignalSet::EMPTY,
            default_signals: SignalSet::ALL,
            #[cfg(feature = "async")]
            kill_on_drop: false,
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.set(name.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// Removes an environment variable.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.environment.remove(name.as_ref().to_owned());
        self
    }

    /// Inherits no environment variable, and forgets those that were set before.
    pub fn env_clear(mut self) -> Self {
        self.environment.clear();
        self
    }

    /// The child's working folder.
    pub fn working_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Descriptor 0.
    pub fn stdin(mut self, stdin: Stdio) -> Self {
        self.stdio[0] = stdin;
        self
    }

    /// Descriptor 1.
    pub fn stdout(mut self, stdout: Stdio) -> Self {
        self.stdio[1] = stdout;
        self
    }

    /// Descriptor 2.
    pub fn stderr(mut self, stderr: Stdio) -> Self {
        self.stdio[2] = stderr;
        self
    }

    /// The child's process group: a new one of its own (0), or that of a group's number; `None` leaves it in the
    /// parent's.
    pub fn process_group(mut self, group: Option<i32>) -> Self {
        self.process_group = group;
        self
    }

    /// Makes the child the leader of a session of its own (setsid(2)), without a controlling terminal, and of a process
    /// group in it.
    pub fn new_session(mut self) -> Self {
        self.new_session = true;
        self
    }

    /// Makes the child's process group the foreground group of this terminal before the program starts. Together with
    /// a [`process_group`](Self::process_group). The parent takes the terminal back itself when the child is gone.
    pub fn foreground_terminal(mut self, terminal: OwnedFd) -> Self {
        self.terminal = Some(terminal);
        self
    }

    /// The user that the program runs as: real, effective and saved, with no way back. The working folder is entered, and
    /// the program executed, with that user's rights.
    ///
    /// A privileged parent's supplementary groups are dropped unless [`groups`](Self::groups) says otherwise; the group
    /// stays the parent's unless [`gid`](Self::gid) says otherwise. Needs `CAP_SETUID` to become somebody else.
    ///
    /// A child with a user or groups of its own is forked, as it must not share memory with a parent that has other
    /// rights: that takes a time that grows with the parent's memory, about 40 ms of CPU per GiB.
    pub fn uid(mut self, uid: u32) -> Self {
        self.uid = Some(uid);
        self
    }

    /// The group that the program runs with: real, effective and saved. Needs `CAP_SETGID` for one that the parent does
    /// not have. Costs what [`uid`](Self::uid) does.
    pub fn gid(mut self, gid: u32) -> Self {
        self.gid = Some(gid);
        self
    }

    /// The supplementary groups that the program runs with, instead of the parent's. Needs `CAP_SETGID`. Costs what
    /// [`uid`](Self::uid) does.
    pub fn groups(mut self, groups: impl IntoIterator<Item = u32>) -> Self {
        self.groups = Some(groups.into_iter().collect());
        self
    }

    /// The signal, 1 to 64, that the child gets when its parent dies (`PR_SET_PDEATHSIG` of prctl(2)).
    ///
    /// For the kernel the parent is the *thread* that spawns: if that ends, the signal comes although the process
    /// lives. So spawn such a child from a thread that lives as long as the process. A program that gains rights when
    /// it is executed (set-user-id, file capabilities) loses the death signal, and so do the child's own children.
    pub fn death_signal(mut self, signum: i32) -> Self {
        self.death_signal = Some(signum);
        self
    }

    /// The signals that are blocked when the program starts; by default none.
    pub fn signal_mask(mut self, blocked: SignalSet) -> Self {
        self.signal_mask = blocked;
        self
    }

    /// The signals that the program does not inherit as ignored; by default all. A program that passes on what it was
    /// started with takes out what was ignored then.
    pub fn default_signals(mut self, signals: SignalSet) -> Self {
        self.default_signals = signals;
        self
    }
    /// Whether the process is killed when its [`Process`](super::Process) is dropped. Its own children are not.
    #[cfg(feature = "async")]
    pub fn kill_on_drop(mut self, on: bool) -> Self {
        self.kill_on_drop = on;
        self
    }
}
