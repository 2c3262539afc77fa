//! How jobs begin.

use std::{
    ffi::OsString,
    rc::Rc,
    time::{Duration, Instant},
};

use loophost::{
    Error,
    process::{self, SpawnError},
};

use super::Runner;
use crate::{
    batch::{
        job::Job,
        printed::Printed,
        record::Record,
        refusal::{self, Refusal},
        stream::Stream,
    },
    exit_status::Outcome,
};

/// Before it is tried again to start a job while none runs: at first, and then twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// It is told then, for somebody else has what is missing.
const TOLD_PAUSE: Duration = Duration::from_millis(160);
/// It is given up then: after 20 seconds in all.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

impl Runner {
    pub(super) fn start(self: &Rc<Self>, value: OsString) -> Result<(), Error> {
        let (seq, command) = {
            let state = self.state();
            let seq = state.started + 1;
            (seq, state.plan.command(&value, seq))
        };
        let (record, started) = (Record::new(seq, &value), Instant::now());
        let on_exit =
            self.once(move |this, event| this.on_exit(seq, event.result as i32, event.child_exit()));
        match process::subprocess_exec(&self.event_loop, command, on_exit) {
            Ok(child) => {
                let (job, kept) = Job::new(child, record, started);
                let mut state = self.state();
                state.started = seq;
                state.pause = Some(FIRST_PAUSE);
                state.running.insert(seq, job);
                drop(state);
                kept.or_else(|error| self.lose_output(seq, &error))?;
                self.watch(seq)
            }
            Err(error) => self.refuse(value, record, &error),
        }
    }

    /// A job could not be started.
    fn refuse(self: &Rc<Self>, value: OsString, mut record: Record, error: &SpawnError) -> Result<(), Error> {
        let mut state = self.state();
        let has_fixed_program = state.plan.template.has_fixed_program();
        let is_working = state.is_working();
        match Refusal::new(error, has_fixed_program, is_working || state.pause.is_some()) {
            Refusal::ForNow => {
                state.held = Some(value);
                state.is_short = true;
                let Some(pause) = state.pause.filter(|_| !is_working) else { return Ok(()) };
                // It has worked before: others of this system, or a thread that is about to end, have what is missing.
                if pause == TOLD_PAUSE {
                    tracing::warn!("waiting until the next job can be started: {error}");
                }
                state.pause = Some(2 * pause).filter(|pause| *pause <= LONGEST_PAUSE);
                drop(state);
                self.event_loop.call_later(pause, self.once(|this, _| this.try_again())).map(drop)
            }
            Refusal::OfAll => {
                state.writer.say(error.to_string());
                state.end(Outcome::NotStarted(error.kind()));
                Ok(())
            }
            Refusal::OfThisOne => {
                drop(state);
                let (returncode, reason) = refusal::reason(error);
                record.refuse(returncode, reason);
                self.fail_job(record)
            }
        }
    }

    /// Somebody may have given back what was missing.
    pub(super) fn try_again(self: &Rc<Self>) -> Result<(), Error> {
        self.state().is_short = false;
        self.pump()
    }

    /// A value is longer than any program's argument may be.
    pub(super) fn refuse_long(self: &Rc<Self>, beginning: OsString) -> Result<(), Error> {
        let seq = self.state().started + 1;
        self.fail_job(Record::too_long(seq, &beginning))
    }

    /// A job has failed without having been started.
    fn fail_job(self: &Rc<Self>, record: Record) -> Result<(), Error> {
        let mut state = self.state();
        state.started = record.seq;
        let (seq, value, why) =
            (record.seq, record.short_value(), record.error.as_deref().unwrap_or_default());
        state.writer.say(format!("job {seq} ({value:?}): {why}"));
        drop(state);
        self.complete(Printed::nothing(record))
    }

    /// Watches a new job's outputs and its time.
    fn watch(self: &Rc<Self>, seq: u64) -> Result<(), Error> {
        for stream in Stream::BOTH {
            let fd = self.state().running.get(&seq).and_then(|job| job.output(stream));
            let Some(fd) = fd else { continue };
            self.event_loop.add_reader(fd, self.repeat(move |this, _| this.on_output(seq, stream)))?;
        }
        let timeout = self.state().plan.timeout;
        if let Some(timeout) = timeout {
            self.call_later_for(seq, timeout, |this, seq| this.on_timeout(seq))?;
        }
        Ok(())
    }
}
