//! What a batch is to do.

use std::{ffi::OsStr, time::Duration};

use loophost::process::{Command, Stdio};

use super::{Halt, halt::When, template::Template, values::Values};
use crate::export::Export;

/// What is to be done, and how.
pub(super) struct Plan {
    /// What each job runs.
    pub(super) template: Template,
    /// What it is run for.
    pub(super) values: Values,
    /// How many jobs may run at a time.
    pub(super) jobs: usize,
    /// Whether jobs write to our streams themselves.
    pub(super) ungroup: bool,
    /// Whether outputs are written in the order of the values.
    pub(super) keep_order: bool,
    /// Whether a record of each job is written.
    pub(super) json: bool,
    /// When failures end the batch.
    pub(super) halt: Option<Halt>,
    /// How long a job may run.
    pub(super) timeout: Option<Duration>,
    /// How long a job that was told to end may take.
    pub(super) grace: Duration,
    /// Whether standard input is where the values come from, and so not the jobs'.
    pub(super) stdin_is_input: bool,
    /// What a job gets when loophost is killed.
    pub(super) death_signal: Option<i32>,
    /// What jobs are told of the choice of policy and watcher.
    pub(super) export: Export,
}

impl Plan {
    /// The command of job `seq`.
    pub(super) fn command(&self, value: &OsStr, seq: u64) -> Command {
        let (program, args) = self.template.fill(value, seq);
        let output = || if self.ungroup { Stdio::Inherit } else { Stdio::Pipe };
        let mut command = Command::new(program)
            .args(args)
            .stdin(if self.stdin_is_input { Stdio::Null } else { Stdio::Inherit })
            .stdout(output())
            .stderr(output())
            // No terminal of ours, so that a job that asks for a password fails instead of being stopped for ever.
            .new_session();
        if let Some(signum) = self.death_signal {
            command = command.death_signal(signum);
        }
        self.export.to(command)
    }

    /// What is to be done after so many failures; `None`: go on.
    pub(super) fn halts_after(&self, failures: u64) -> Option<When> {
        self.halt.filter(|halt| failures >= halt.failures.get()).map(|halt| halt.when)
    }
}
