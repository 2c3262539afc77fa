//! What is known of a batch: what runs, what may start, what is left, and how it ends.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    descriptors::Descriptors, job::Job, plan::Plan, printed::Printed, progress::Progress, values::Next,
    writer::Writer,
};
use crate::exit_status::Outcome;

/// What waits to be written, for the writer or for its turn, before no new job is started.
const WAITING: usize = 256;
/// What one read brings at most.
const READ: usize = 64 * 1024;

/// What the jobs that run were told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing.
    Running,
    /// To end.
    Ending,
    /// They were killed.
    Killed,
}

pub(super) struct State {
    /// What is to be done.
    pub(super) plan: Plan,
    /// Where everything that is written goes.
    pub(super) writer: Writer,
    /// What the progress bar shows.
    pub(super) progress: Arc<Progress>,
    /// What limits the number of jobs besides the plan.
    descriptors: Descriptors,
    /// The jobs that run, by number.
    pub(super) running: HashMap<u64, Job>,
    /// With `--keep-order`: over, but not their turn yet.
    finished: BTreeMap<u64, Printed>,
    /// With `--keep-order`: whose turn it is.
    next_in_order: u64,
    /// How many jobs there were so far, also those that could not be started.
    pub(super) started: u64,
    /// How many of them have failed by themselves.
    failed: u64,
    /// How many of them loophost has ended.
    ended: u64,
    /// A value whose job could not be started for want of something that a job will give back.
    pub(super) held: Option<OsString>,
    /// No job is started until something was given back.
    pub(super) is_short: bool,
    /// How long to wait before it is tried again to start a job while nothing works that could give anything back; `None`
    /// before the first job, and when that was done long enough.
    pub(super) pause: Option<Duration>,
    /// Whether there are no more values.
    input_ended: bool,
    /// Whether the loop watches the input.
    pub(super) waits_for_input: bool,
    /// Whether the input cannot be watched, because it is always ready.
    pub(super) input_is_ready: bool,
    /// Whether the loop will look for jobs to start soon.
    pub(super) pump_is_queued: bool,
    /// Whether the loop will look at the groups that ended jobs have left.
    pub(super) looks_at_groups: bool,
    /// Why no more jobs are started, if it is not the end of the input.
    ending: Option<Outcome>,
    /// When the first signal came: from then on nobody may be reading any more.
    pub(super) interrupted: Option<Instant>,
    /// What the jobs that run were told.
    pub(super) stage: Stage,
    /// Whether the writer was told that nothing comes any more.
    is_concluded: bool,
    /// For reading.
    pub(super) buffer: Vec<u8>,
}

impl State {
    pub(super) fn new(mut plan: Plan, writer: Writer, progress: Arc<Progress>) -> Self {
        let descriptors = Descriptors::new(plan.ungroup);
        let most = descriptors.jobs();
        if most < plan.jobs {
            tracing::warn!(
                "descriptors suffice for {most} jobs at a time, not for {}: raise the limit of open files (ulimit -n)",
                plan.jobs
            );
            plan.jobs = most;
        }
        Self {
            plan,
            writer,
            progress,
            descriptors,
            running: HashMap::new(),
            finished: BTreeMap::new(),
            next_in_order: 1,
            started: 0,
            failed: 0,
            ended: 0,
            held: None,
            is_short: false,
            pause: None,
            input_ended: false,
            waits_for_input: false,
            input_is_ready: false,
            pump_is_queued: false,
            looks_at_groups: false,
            ending: None,
            interrupted: None,
            stage: Stage::Running,
            is_concluded: false,
            buffer: vec![0; READ],
        }
    }

    /// Whether another job may be started now, if there is a value for it.
    pub(super) fn may_start(&self) -> bool {
        self.ending.is_none()
            && !self.waits_for_input
            && (!self.input_ended || self.held.is_some())
            && !self.is_short
            && self.running.len() < self.plan.jobs
            && self.finished.len() + self.writer.waiting() < WAITING
            && self.descriptors.suffice(self.running.len(), self.files())
    }

    /// Whether something works that holds descriptors and memory, and tells when it gives them back: a job, or the writer.
    pub(super) fn is_working(&self) -> bool {
        !self.running.is_empty() || self.writer.waiting() > 0
    }

    /// Temporary files of jobs that are over.
    fn files(&self) -> usize {
        self.writer.files() + self.finished.values().map(Printed::files).sum::<usize>()
    }

    /// The next value.
    pub(super) fn next(&mut self) -> Next {
        self.held.take().map_or_else(|| self.plan.values.next(), Next::Value)
    }

    /// There are no more values.
    pub(super) fn end_input(&mut self) {
        self.input_ended = true;
        self.progress.set_total(self.started);
    }

    /// No more jobs are started. Of several reasons the one counts that a script must know first.
    pub(super) fn end(&mut self, outcome: Outcome) {
        self.ending = Some(self.ending.map_or(outcome, |before| before.or_worse(outcome)));
    }

    /// How the batch ends.
    pub(super) fn outcome(&self) -> Outcome {
        let jobs = if self.failed > 0 { Outcome::JobsFailed } else { Outcome::Done };
        self.ending.map_or(jobs, |ending| ending.or_worse(jobs))
    }

    /// Whether nothing runs and nothing will be started any more.
    fn is_idle(&self) -> bool {
        let has_ended = self.ending.is_some() || (self.input_ended && self.held.is_none());
        has_ended && self.running.is_empty()
    }

    /// Whether the batch is over: all is written, or nobody waits for it.
    pub(super) fn is_over(&mut self) -> bool {
        if !self.is_idle() {
            return false;
        }
        if !self.is_concluded {
            self.is_concluded = true;
            self.writer.end(self.summary());
        }
        self.interrupted.is_some() || self.writer.waiting() == 0
    }

    /// What is said at the end, unless it was said before or a program is told.
    fn summary(&self) -> Option<String> {
        if self.plan.json || !matches!(self.outcome(), Outcome::JobsFailed | Outcome::Halted) {
            return None;
        }
        let mut summary = format!("{} of {} jobs failed", self.failed, self.started);
        if self.ended > 0 {
            summary.push_str(&format!(", {} were ended", self.ended));
        }
        Some(summary)
    }

    /// A job is over, or could not be started: its output may be written, now or when it is its turn. Gives the number
    /// of failures if it is one of them.
    pub(super) fn complete(&mut self, printed: Printed) -> Option<u64> {
        let record = &printed.record;
        let (has_failed, was_ended) = (record.has_failed(), record.ended);
        if has_failed && was_ended {
            self.ended += 1;
        } else if has_failed {
            self.failed += 1;
            tracing::info!(seq = record.seq, returncode = record.returncode, "a job has failed");
        }
        self.progress.advance(self.failed);
        if self.plan.keep_order {
            self.finished.insert(record.seq, printed);
            while let Some(next) = self.finished.remove(&self.next_in_order) {
                self.next_in_order += 1;
                self.write(next);
            }
        } else {
            self.write(printed);
        }
        (has_failed && !was_ended).then_some(self.failed)
    }

    fn write(&self, printed: Printed) {
        if self.plan.json || !printed.is_empty() {
            self.writer.give(printed);
        }
    }
}
