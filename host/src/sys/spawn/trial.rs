//! Trying out whether processes can be started, on the path of every spawn, and without a program.

use std::{io, os::fd::OwnedFd};

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
            Ok(spawned) => {
                // SAFETY: the call writes nothing with a null pointer; the child is ours, and nobody else knows it.
                unsafe { libc::waitpid(spawned.pid, std::ptr::null_mut(), 0) };
                let source = io::Error::other("the child is killed before its program is executed");
                Err(Failure { step: Step::Start, source })
            }
        }
    }
}
