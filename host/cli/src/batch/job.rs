//! A job that runs.

use std::{io, time::Instant};

use loophost::{ChildExit, Error, ErrorCode, HandleId, process::Child};

use super::{
    capture::{Capture, Progress},
    record::Record,
    writer::Printed,
};
use crate::missed_exit;

/// Which of a job's two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Out,
    Err,
}

impl Stream {
    pub(super) const BOTH: [Self; 2] = [Self::Out, Self::Err];
}

pub(super) struct Job {
    child: Child,
    record: Record,
    started: Instant,
    captures: [Option<Capture>; 2],
    /// Timers that are to be cancelled when it has ended.
    pub(super) timers: Vec<HandleId>,
    /// Whether it had exited when it was last looked at.
    has_exited: bool,
}

impl Job {
    /// A job whose child was just started; and whether its output can be kept.
    pub(super) fn new(mut child: Child, mut record: Record, started: Instant) -> (Self, io::Result<()>) {
        record.pid = Some(child.pid());
        let mut captures = [None, None];
        let mut kept = Ok(());
        for (place, pipe) in captures.iter_mut().zip([child.stdout.take(), child.stderr.take()]) {
            match pipe.map(Capture::new).transpose() {
                Ok(capture) => *place = capture,
                Err(error) => kept = Err(error),
            }
        }
        (Self { child, record, started, captures, timers: Vec::new(), has_exited: false }, kept)
    }

    pub(super) fn capture(&mut self, stream: Stream) -> Option<&mut Capture> {
        self.captures[stream as usize].as_mut()
    }

    /// Signals the job and everything it has started, unless that has left its group.
    pub(super) fn signal(&self, signum: i32) {
        match self.child.send_signal_to_group(signum) {
            Err(error) if error.code() != ErrorCode::PROCESS_GONE => tracing::warn!("ending a job: {error}"),
            _ => {}
        }
    }

    pub(super) fn time_out(&mut self) {
        self.record.timed_out = true;
    }

    /// Reads once from an output; [`Progress::End`] if there is nothing to come any more.
    pub(super) fn read(&mut self, stream: Stream, buffer: &mut [u8]) -> io::Result<Progress> {
        self.capture(stream).map_or(Ok(Progress::End), |capture| capture.read(buffer))
    }

    /// Whether it had exited already when this was last asked: then its watcher has had its time to tell.
    pub(super) fn is_overdue(&mut self) -> bool {
        let had_exited = self.has_exited;
        self.has_exited = missed_exit::has_exited(self.child.pid());
        had_exited
    }

    /// The returncode of a job whose watcher keeps silent; `None` if it lives after all.
    pub(super) fn returncode(&self) -> Result<Option<i32>, Error> {
        missed_exit::returncode(&self.child)
    }

    /// The child has exited: what is left of the job.
    pub(super) fn finish(
        mut self,
        returncode: i32,
        exit: Option<ChildExit>,
        buffer: &mut [u8],
    ) -> io::Result<Printed> {
        self.record.finish(returncode, exit.as_ref(), self.started.elapsed());
        let [stdout, stderr] = self.captures.map(|capture| {
            let Some(mut capture) = capture else { return Ok(None) };
            capture.read_rest(buffer)?;
            capture.finish()
        });
        Ok(Printed { record: self.record, stdout: stdout?, stderr: stderr? })
    }
}
