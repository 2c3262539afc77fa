//! Trying out whether processes can be started, on the path of every spawn, and without a program.

use std::{io, os::fd::OwnedFd};

use nix::{
    sys::wait::{WaitStatus, waitpid},
    unistd::Pid,
};

use super::{Failure, Prepared, Step, Stream, spawn};
use crate::process::SignalSet;

/// What the child is asked for besides its streams.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trial {
    /// A session of its own.
    pub(crate) new_session: bool,
    /// The signal that it gets when its parent ends.
    pub(crate) death_signal: Option<i32>,
}

impl Trial {
    /// Starts a process that fails at the very last step, for there is no such program.
    ///
    /// # Errors
    /// It failed before that.
    pub(crate) fn run(self, null: OwnedFd) -> Result<(), Failure> {
        // Below something that is no folder there is no program, whatever the system looks like.
        let program = c"/dev/null/program";
        let prepared = Prepared {
            argv: vec![program.into()],
            env: Vec::new(),
            folder: None,
            stdio: [Stream::Copy(null), Stream::Inherit, Stream::Inherit],
            new_session: self.new_session,
            process_group: None,
            terminal: None,
            uid: None,
            gid: None,
            groups: None,
            death_signal: self.death_signal,
            signal_mask: SignalSet::EMPTY,
            default_signals: SignalSet::ALL,
            pidfd: false,
        };
        match spawn(&prepared, program) {
            Err(Failure { step: Step::Exec, source })
                if matches!(source.raw_os_error(), Some(libc::ENOTDIR | libc::ENOENT)) =>
            {
                Ok(())
            }
            Err(failure) => Err(failure),
            // The child has ended before it could say what is wrong: a filter kills.
            Ok(spawned) if is_killed(spawned.pid) => {
                let source = io::Error::other("the child is killed before its program is executed");
                Err(Failure { step: Step::Start, source })
            }
            // It has come to its end, and could not say so: for posix_spawn(3) too an emulator makes a copy of the memory.
            Ok(_) => Ok(()),
        }
    }
}

/// Waits for a child of ours that nobody else knows; whether a signal has ended it.
fn is_killed(pid: i32) -> bool {
    matches!(waitpid(Pid::from_raw(pid), None), Ok(WaitStatus::Signaled(..)))
}
