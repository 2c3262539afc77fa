//! From a command to everything that a spawn needs.

use std::{
    ffi::{CString, OsString},
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::OsStringExt,
    },
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag, open},
    sys::stat::Mode,
    unistd::{AccessFlags, faccessat, geteuid, pipe2},
};

use super::{Command, PidfdProbe, SpawnError, Stdio, executable::Search};
use crate::sys::{
    pidfd,
    spawn::{self, Prepared, Spawned, Stream},
};

/// The parent's ends of a child's pipes, by descriptor.
pub(super) type Pipes = [Option<OwnedFd>; 3];

/// A command that is ready to be started: nothing in it can be wrong any more but what only the system knows.
pub(super) struct Ready {
    program: OsString,
    path: Option<OsString>,
    prepared: Prepared,
    pub(super) pipes: Pipes,
}

/// The checks that cost nothing.
pub(super) fn check(command: &Command) -> Result<(), SpawnError> {
    if command.program.is_empty() {
        return Err(SpawnError::InvalidArgument { what: "the program's name is empty".into() });
    }
    if command.process_group.is_some_and(|group| group < 0) {
        return Err(SpawnError::InvalidArgument { what: "a process group is 0 or the number of one".into() });
    }
    if command.new_session && command.process_group.is_some_and(|group| group != 0) {
        return Err(SpawnError::InvalidArgument {
            what: "the leader of a session cannot be in a group of another one".into(),
        });
    }
    if command.new_session && command.terminal.is_some() {
        return Err(SpawnError::InvalidArgument {
            what: "a new session has no terminal to be in the foreground of".into(),
        });
    }
    if let Some(signum) = command.death_signal.filter(|signum| !(1..=64).contains(signum)) {
        return Err(SpawnError::InvalidArgument { what: format!("{signum} is no signal") });
    }
    // The kernel takes the highest number for "leave it as it is".
    if [command.uid, command.gid].contains(&Some(u32::MAX)) {
        return Err(SpawnError::InvalidArgument { what: format!("{} is no user and no group", u32::MAX) });
    }
    command.environment.check()
}

/// Opens what the child needs. Every descriptor made here is close-on-exec from birth.
pub(super) fn prepare(command: Command) -> Result<Ready, SpawnError> {
    let program = command.program;
    let argv =
        std::iter::once(program.clone()).chain(command.args).map(argument).collect::<Result<_, _>>()?;
    let env = command.environment.to_strings()?;
    let path = command.environment.get("PATH");
    let folder = match command.folder {
        Some(folder) => Some(
            open_folder(&folder)
                .map_err(|errno| SpawnError::BadWorkingFolder { path: folder, source: errno.into() })?,
        ),
        None => None,
    };
    let mut pipes = Pipes::default();
    let mut stdio = [Stream::Inherit, Stream::Inherit, Stream::Inherit];
    for (n, wanted) in command.stdio.into_iter().enumerate() {
        stdio[n] = match wanted {
            Stdio::Inherit => Stream::Inherit,
            Stdio::Closed => Stream::Closed,
            Stdio::Fd(fd) => Stream::Copy(above_stdio(fd)?),
            Stdio::Null => Stream::Copy(above_stdio(open_null()?)?),
            Stdio::Pipe => {
                let (read, write) = pipe2(OFlag::O_CLOEXEC).map_err(os("making a pipe"))?;
                let (ours, childs) = if n == 0 { (write, read) } else { (read, write) };
                pipes[n] = Some(above_stdio(ours)?);
                Stream::Copy(above_stdio(childs)?)
            }
        };
    }
    // A user who keeps root's groups has not given up root's rights.
    let inherits_groups = command.uid.is_none() || !geteuid().is_root();
    let prepared = Prepared {
        argv,
        env,
        folder,
        stdio,
        new_session: command.new_session,
        process_group: command.process_group,
        terminal: command.terminal,
        uid: command.uid,
        gid: command.gid,
        groups: command.groups.or((!inherits_groups).then(Vec::new)),
        death_signal: command.death_signal,
        signal_mask: command.signal_mask,
        default_signals: command.default_signals,
        // Not without the probe: there are filters that kill whoever asks for a pidfd.
        pidfd: PidfdProbe::get().works,
    };
    Ok(Ready { program, path, prepared, pipes })
}

impl Ready {
    /// Starts it, and opens its pidfd before anybody can reap it, if it came without. Without a pidfd it works too.
    pub(super) fn start(&self) -> Result<Spawned, SpawnError> {
        let folder = self.prepared.folder.as_ref().map(AsFd::as_fd);
        let search = Search::new(&self.program, self.path.clone(), folder);
        let mut spawned = search.start(|path| spawn::spawn(&self.prepared, &path))?;
        if spawned.pidfd.is_none() && self.prepared.pidfd {
            match pidfd::open(spawned.pid) {
                Ok(pidfd) => spawned.pidfd = Some(pidfd),
                Err(error) => tracing::debug!(pid = spawned.pid, "no pidfd: {error}"),
            }
        }
        Ok(spawned)
    }
}

fn argument(text: OsString) -> Result<CString, SpawnError> {
    CString::new(text.into_vec()).map_err(|error| {
        let text = OsString::from_vec(error.into_vec());
        SpawnError::InvalidArgument { what: format!("the argument {text:?} contains a NUL byte") }
    })
}

/// Opening the folder here and not in the child tells its errors from those of the program, and makes sure that the
/// program is looked for in the folder that it is started in.
fn open_folder(folder: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let fd = open(folder, flags, Mode::empty())?;
    // O_PATH needs no permission on the folder itself, entering it does.
    faccessat(&fd, ".", AccessFlags::X_OK, AtFlags::AT_EACCESS)?;
    Ok(fd)
}

fn open_null() -> Result<OwnedFd, SpawnError> {
    open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()).map_err(os("opening /dev/null"))
}

/// A descriptor that setting up 0, 1 and 2 cannot overwrite: a parent that was started with one of them closed gets
/// these numbers for whatever it opens.
fn above_stdio(fd: OwnedFd) -> Result<OwnedFd, SpawnError> {
    if fd.as_raw_fd() > 2 {
        return Ok(fd);
    }
    // std copies to 3 or above, for the same reason.
    fd.try_clone().map_err(|source| SpawnError::Os { what: "copying a descriptor", source })
}

fn os(what: &'static str) -> impl Fn(Errno) -> SpawnError {
    move |errno| SpawnError::Os { what, source: io::Error::from(errno) }
}
