//! A terminal, and a session on it.

use std::{
    fs::OpenOptions,
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::{fs::OpenOptionsExt, process::CommandExt},
    },
    path::Path,
    process::{Child, Command},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use nix::{
    fcntl::OFlag,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt},
    sys::{
        signal::{Signal, kill},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::{Pid, pipe2, setsid, tcgetpgrp},
};

use crate::{
    eventually::{eventually, eventually_or},
    proc,
    started::pid_of,
};

/// Our end of a terminal, and the thread that copies what is written on it to the screen.
#[derive(Debug)]
struct Terminal {
    master: Arc<PtyMaster>,
    /// Closed to end the thread.
    stop: OwnedFd,
    thread: JoinHandle<()>,
}

/// A session whose leader is a command, with a terminal of its own as the leader's standard streams. Dropped, all of the
/// session is killed.
#[derive(Debug)]
pub struct Session {
    leader: Child,
    /// `None` after a hang-up.
    terminal: Option<Terminal>,
    screen: Arc<Mutex<String>>,
    /// How much of the screen was expected already.
    seen: usize,
}

impl Session {
    /// Starts a session.
    ///
    /// # Panics
    /// There are no terminals, or the command cannot be started.
    pub fn new(mut command: Command) -> Self {
        let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("a terminal can be granted");
        // So wide that no shell breaks a line that is typed.
        set_size(&master, 24, 500);
        let name = ptsname_r(&master).expect("a terminal has a name");
        let slave = || {
            let mut options = OpenOptions::new();
            options.read(true).write(true).custom_flags(libc::O_NOCTTY);
            options.open(&name).expect("a terminal can be opened")
        };
        command.stdin(slave()).stdout(slave()).stderr(slave());
        // SAFETY: setsid and ioctl are async-signal-safe, and nothing is allocated.
        unsafe { command.pre_exec(lead_session) };
        let leader = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        // The command holds the other end open until here; from now on the end of the session ends the output.
        drop(command);
        let screen = Arc::<Mutex<String>>::default();
        let terminal = Terminal::new(master, screen.clone());
        Self { leader, terminal: Some(terminal), screen, seen: 0 }
    }

    /// An interactive bash that shows `$ ` when it reads a command.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn bash(bash: &Path) -> Self {
        let mut command = crate::command(bash);
        command.args(["--norc", "--noprofile", "-i"]).env("PS1", "$ ").env("TERM", "dumb");
        command.env_remove("PROMPT_COMMAND").env("HISTFILE", "/dev/null");
        let mut session = Self::new(command);
        session.expect("$ ");
        session
    }

    fn master(&self) -> &PtyMaster {
        &self.terminal.as_ref().expect("the terminal has not been hung up").master
    }

    /// Closes the window.
    ///
    /// # Panics
    /// It is closed.
    pub fn hang_up(&mut self) {
        let Terminal { master, stop, thread } = self.terminal.take().expect("it is open");
        drop(stop);
        thread.join().expect("the thread does not panic");
        drop(master);
    }

    /// The pid of the leader.
    pub fn leader(&self) -> Pid {
        pid_of(&self.leader)
    }

    /// Types.
    ///
    /// # Panics
    /// There is nobody to read it.
    pub fn type_in(&self, text: &str) {
        let mut text = text.as_bytes();
        while !text.is_empty() {
            let count = nix::unistd::write(self.master(), text).expect("the terminal takes input");
            text = &text[count..];
        }
    }

    /// What is on the screen.
    pub fn screen(&self) -> String {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for text that comes after what was expected before.
    ///
    /// # Panics
    /// It never comes.
    pub fn expect(&mut self, text: &str) {
        let find = || Some(self.seen + self.screen()[self.seen..].find(text)? + text.len());
        self.seen = eventually_or(find, || format!("{text:?} after {} in {:?}", self.seen, self.screen()));
    }

    /// Another size of the window.
    ///
    /// # Panics
    /// The terminal refuses.
    pub fn resize(&self, rows: u16, columns: u16) {
        set_size(self.master(), rows, columns);
    }

    /// The foreground process group.
    ///
    /// # Panics
    /// There is none.
    pub fn foreground(&self) -> Pid {
        tcgetpgrp(self.master().as_fd()).expect("a session's terminal has a foreground")
    }

    /// Waits until the leader has ended. Its status stays, so that its number means nobody else.
    ///
    /// # Panics
    /// It does not.
    pub fn wait(&mut self) -> WaitStatus {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        let ended = || {
            let status = waitid(Id::Pid(self.leader()), flags).expect("the leader can be waited for");
            (status != WaitStatus::StillAlive).then_some(status)
        };
        eventually_or(ended, || format!("the end of the leader; the screen is {:?}", self.screen()))
    }
}

impl Terminal {
    fn new(master: PtyMaster, screen: Arc<Mutex<String>>) -> Self {
        let master = Arc::new(master);
        let (stopped, stop) = pipe2(OFlag::O_CLOEXEC).expect("a pipe");
        let output = master.clone();
        let thread = thread::spawn(move || {
            while let Some(text) = read(&output, &stopped) {
                screen.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            }
        });
        Self { master, stop, thread }
    }
}

fn set_size(master: &PtyMaster, rows: u16, columns: u16) {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the request reads one winsize.
    let done = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    assert_eq!(done, 0, "{}", io::Error::last_os_error());
}

/// Waits for output; `None` at the end of the session and when `stopped` is closed.
fn read(output: &PtyMaster, stopped: &OwnedFd) -> Option<String> {
    let mut fds = [output.as_fd(), stopped.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    poll(&mut fds, PollTimeout::NONE).ok()?;
    if fds[1].any()? {
        return None;
    }
    let mut buffer = [0; 4096];
    // EIO: nobody has the other end open any more.
    let count = nix::unistd::read(output, &mut buffer).ok()?;
    Some(String::from_utf8_lossy(&buffer[..count]).into_owned())
}

impl Drop for Session {
    fn drop(&mut self) {
        let leader = self.leader();
        // Again and again, for somebody may be making processes meanwhile. The leader is not reaped before, so that
        // its number means nobody else.
        eventually("the end of a session", || {
            let all = proc::all();
            let mut left = all.iter().filter(|stat| stat.session == leader && stat.state != 'Z').peekable();
            let nobody = left.peek().is_none();
            left.for_each(|stat| {
                let _ = kill(stat.pid, Signal::SIGKILL);
            });
            nobody.then_some(())
        });
        let _ = self.leader.wait();
    }
}

/// In the child: the leader of a session whose controlling terminal is standard input.
fn lead_session() -> io::Result<()> {
    setsid()?;
    // SAFETY: the request takes an integer.
    match unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
