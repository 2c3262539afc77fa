//! The one place where a process is started, without copying the parent's page tables.
//!
//! There are three ways, tried in this order; see [`Way`]. In the first two, `vfork/child.rs` is what runs between clone
//! and exec: in the parent's memory, on a stack of its own, while the calling thread waits. A child that is to be another
//! user gets a copy of the memory instead; see [`Prepared::is_other_user`].

mod posix;
mod trial;
#[cfg_attr(
    not(all(
        target_os = "linux",
        target_pointer_width = "64",
        any(target_arch = "x86_64", target_arch = "aarch64")
    )),
    path = "spawn/no_vfork.rs"
)]
mod vfork;
mod way;

use std::{
    error,
    ffi::{CStr, CString, c_char},
    fmt, io,
    os::fd::OwnedFd,
    ptr,
};

use nix::errno::Errno;

use crate::process::SignalSet;
pub(crate) use trial::Trial;
pub use way::Way;
pub(crate) use way::force;

/// Everything a child starts with, made before the spawn.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The program's name as it was given, and its arguments.
    pub(crate) argv: Vec<CString>,
    /// `NAME=value`.
    pub(crate) env: Vec<CString>,
    /// The working folder, or the parent's.
    pub(crate) folder: Option<OwnedFd>,
    /// Descriptors 0, 1 and 2.
    pub(crate) stdio: [Stream; 3],
    /// Whether the child leads a session of its own, and so a group.
    pub(crate) new_session: bool,
    /// As `setpgid(0, _)`, or the parent's.
    pub(crate) process_group: Option<i32>,
    /// The terminal that the child's group is to own.
    pub(crate) terminal: Option<OwnedFd>,
    /// The user, or the parent's.
    pub(crate) uid: Option<u32>,
    /// The group, or the parent's.
    pub(crate) gid: Option<u32>,
    /// The supplementary groups, or the parent's.
    pub(crate) groups: Option<Vec<u32>>,
    /// The signal that the child gets when the thread that spawns it ends.
    pub(crate) death_signal: Option<i32>,
    /// The signals that are blocked in the child.
    pub(crate) signal_mask: SignalSet,
    /// The signals that the child does not ignore although its parent may.
    pub(crate) default_signals: SignalSet,
    /// Whether the kernel should give a pidfd at birth, if it can.
    pub(crate) pidfd: bool,
}

impl Prepared {
    /// Whether the child has other rights than the parent.
    pub(crate) fn is_other_user(&self) -> bool {
        self.uid.is_some() || self.gid.is_some() || self.groups.is_some()
    }
}

/// One of the descriptors 0, 1 and 2 of the child.
#[derive(Debug)]
pub(crate) enum Stream {
    /// The parent's.
    Inherit,
    /// Closed.
    Closed,
    /// A copy of this one, which is 3 or above.
    Copy(OwnedFd),
}

/// A process that was started.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) pid: i32,
    /// Its pidfd, when the kernel gave one at birth; posix_spawn does not.
    pub(crate) pidfd: Option<OwnedFd>,
}

/// Why no process was started.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) step: Step,
    pub(crate) source: io::Error,
}

/// What a spawn consists of. The numbers travel through the memory that child and parent share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Step {
    Start = 1,
    Signals,
    Session,
    ProcessGroup,
    Terminal,
    Groups,
    Group,
    User,
    DeathSignal,
    Folder,
    Streams,
    /// Also every failure of a posix_spawn(3), which does not tell its steps apart.
    Exec,
    /// Not a step: this system has no way to start such a process.
    Unsupported,
}

impl Step {
    /// Those that a child reports.
    #[allow(dead_code, reason = "not on all machines")]
    const IN_CHILD: [Self; 11] = [
        Self::Signals,
        Self::Session,
        Self::ProcessGroup,
        Self::Terminal,
        Self::Groups,
        Self::Group,
        Self::User,
        Self::DeathSignal,
        Self::Folder,
        Self::Streams,
        Self::Exec,
    ];

    /// What was being done, for people.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::Start | Self::Exec => "starting a process",
            Self::Signals => "setting up the child's signals",
            Self::Session => "making a session for the child",
            Self::ProcessGroup => "putting the child into its process group",
            Self::Terminal => "giving the terminal to the child",
            Self::Groups => "setting the child's supplementary groups",
            Self::Group => "setting the child's group",
            Self::User => "setting the child's user",
            Self::DeathSignal => "setting the child's death signal",
            Self::Folder => "entering the child's working folder",
            Self::Streams => "setting up the child's standard streams",
            Self::Unsupported => {
                "this system only has posix_spawn, which knows no death signal and no other user"
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step.what(), self.source)
    }
}

impl error::Error for Failure {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Why a way did not lead to a process.
enum Obstacle {
    /// It cannot be used in this process, whatever is to be started; the child has done nothing.
    Closed(io::Error),
    /// The spawn itself failed, and would so elsewhere.
    Failed(Failure),
}

impl From<Failure> for Obstacle {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Starts the program at `path`, which is not searched for. Waits until it was executed; errno stays as it is.
///
/// # Errors
/// The error of whatever failed, in the parent or in the child up to its exec; no child is left then.
pub(crate) fn spawn(prepared: &Prepared, path: &CStr) -> Result<Spawned, Failure> {
    let errno = Errno::last_raw();
    let spawned = loop {
        let way = Way::current();
        let attempt = match way {
            Way::Posix => break posix::spawn(prepared, path),
            Way::Clone3 | Way::Clone => vfork::spawn(prepared, path, way),
        };
        match attempt {
            Ok(spawned) => break Ok(spawned),
            Err(Obstacle::Failed(failure)) => break Err(failure),
            Err(Obstacle::Closed(source)) => way.rule_out(&source),
        }
    };
    Errno::set_raw(errno);
    spawned
}

/// The array that exec takes, valid as long as the strings.
fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

#[cfg(test)]
mod tests {
    use nix::sys::wait::{WaitStatus, waitpid};

    use super::*;
    use crate::process::PidfdProbe;

    /// `/bin/sh -c script` in each way; errno stays.
    fn on_each_way(script: &CStr, path: &CStr, check: impl Fn(Way, Result<Spawned, Failure>)) {
        let prepared = Prepared {
            argv: vec![c"sh".into(), c"-c".into(), script.into()],
            env: Vec::new(),
            folder: None,
            stdio: [Stream::Inherit, Stream::Closed, Stream::Inherit],
            new_session: false,
            process_group: None,
            terminal: None,
            uid: None,
            gid: None,
            groups: None,
            death_signal: None,
            signal_mask: SignalSet::EMPTY,
            default_signals: SignalSet::ALL,
            pidfd: true,
        };
        for way in [Way::Clone3, Way::Clone, Way::Posix] {
            force(Some(way));
            Errno::set_raw(77);
            let result = spawn(&prepared, path);
            assert_eq!(Errno::last_raw(), 77, "{way:?}");
            check(way, result);
        }
        force(None);
    }

    #[test]
    fn a_child_comes_with_its_pidfd() {
        on_each_way(c"exit 3", c"/bin/sh", |way, result| {
            let Spawned { pid, pidfd } = result.unwrap();
            assert_eq!(pidfd.is_some(), way != Way::Posix && PidfdProbe::get().works);
            let pid = nix::unistd::Pid::from_raw(pid);
            assert_eq!(waitpid(pid, None).unwrap(), WaitStatus::Exited(pid, 3));
        });
    }

    #[test]
    fn a_failed_exec_leaves_no_child() {
        on_each_way(c"", c"/no/such/program", |_, result| {
            let Failure { step, source } = result.unwrap_err();
            assert_eq!((step, source.raw_os_error()), (Step::Exec, Some(libc::ENOENT)));
        });
    }
}
