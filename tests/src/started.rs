//! The binary under test, started.

use std::{
    env,
    ffi::OsStr,
    fs, io,
    os::unix::{
        ffi::OsStrExt,
        process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use nix::{
    sys::{
        signal::{SigHandler, SigSet, Signal, kill, killpg, signal},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};
use tempfile::TempDir;

use crate::{binary, eventually};

/// `loophost ARGS…`; see [`command`].
pub fn loophost<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = command(binary());
    command.args(args);
    command
}

/// A command that does not depend on who starts the tests, and how: with none of loophost's variables nor the user's
/// configuration, no input, and no signal blocked or ignored (a shell ignores SIGINT for what it runs in the background).
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    // Those of the program, and those of the tests themselves.
    for (variable, _) in env::vars_os() {
        if variable.as_bytes().starts_with(b"LOOPHOST_") {
            command.env_remove(variable);
        }
    }
    command.env_remove("NO_COLOR").env("XDG_CONFIG_HOME", "/no/configuration").stdin(Stdio::null());
    // SAFETY: sigaction and sigprocmask are async-signal-safe, and nothing is allocated.
    unsafe { command.pre_exec(reset_signals) };
    command
}

/// In the child. What a test wants otherwise it asks for later.
fn reset_signals() -> io::Result<()> {
    for one in Signal::iterator().filter(|one| !matches!(one, Signal::SIGKILL | Signal::SIGSTOP)) {
        // SAFETY: SIG_DFL runs no code.
        unsafe { signal(one, SigHandler::SigDfl) }?;
    }
    Ok(SigSet::empty().thread_set_mask()?)
}

/// A running command in a process group of its own. What it prints goes to files. Dropped, it and its group are killed.
#[derive(Debug)]
pub struct Started {
    child: Child,
    output: TempDir,
}

/// What a command has printed, and how it has ended.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Ended {
    /// Its exit status.
    ///
    /// # Panics
    /// A signal has ended it.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("{}: {}", self.status, self.stderr))
    }
}

impl Started {
    /// Starts a command. Streams that the command does not say anything about are as here, and a `pre_exec` of its own
    /// may replace them.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn new(mut command: Command) -> Self {
        let output = TempDir::new().expect("a folder for the output");
        let file = |name| fs::File::create(output.path().join(name)).expect("a file for the output");
        command.stdout(file("stdout")).stderr(file("stderr")).process_group(0);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, output }
    }

    /// Its pid.
    pub fn pid(&self) -> Pid {
        pid_of(&self.child)
    }

    /// Sends a signal to it alone.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("a child that was not reaped can be signalled");
    }

    /// The file that its standard output goes to.
    pub fn stdout_file(&self) -> PathBuf {
        self.output.path().join("stdout")
    }

    /// What it has printed so far.
    pub fn stdout(&self) -> String {
        read(&self.stdout_file())
    }

    /// What it has complained about so far.
    pub fn stderr(&self) -> String {
        read(&self.output.path().join("stderr"))
    }

    /// Waits until it has printed a line that begins with `start`, and gives the rest of that line.
    ///
    /// # Panics
    /// It ends before, or never prints it.
    pub fn line(&self, start: &str) -> String {
        eventually(start, || {
            // In this order: what it has printed at last counts.
            let ended = self.ended();
            let (stdout, stderr) = (self.stdout(), self.stderr());
            let found = lines(&stdout).find_map(|line| line.strip_prefix(start).map(str::to_owned));
            if let (None, Some(ended)) = (&found, ended) {
                panic!("no {start:?} before {ended}; stdout: {stdout}; stderr: {stderr}");
            }
            found
        })
    }

    /// How it has ended; `None` while it runs. The status stays, so that its number means nobody else.
    pub fn ended(&self) -> Option<ExitStatus> {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        match waitid(Id::Pid(self.pid()), flags).expect("a child that was not reaped can be waited for") {
            WaitStatus::Exited(_, status) => Some(ExitStatus::from_raw(status << 8)),
            WaitStatus::Signaled(_, signal, _) => Some(ExitStatus::from_raw(signal as i32)),
            _ => None,
        }
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// It does not.
    pub fn wait(&self) -> Ended {
        let status = eventually("the end of loophost", || self.ended());
        Ended { status, stdout: self.stdout(), stderr: self.stderr() }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Those it has left behind are in the group too.
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// Runs a command to its end.
///
/// # Panics
/// It cannot be started, or does not end.
pub fn run(command: Command) -> Ended {
    Started::new(command).wait()
}

/// The pid as nix has it.
pub(crate) fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("a pid is positive"))
}

/// Whole lines only: the last one may still be being written.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'))
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).expect("the file is there")).into_owned()
}
