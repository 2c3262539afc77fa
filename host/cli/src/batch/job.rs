//! A job that runs.

use std::{io, mem, time::Instant};

use loophost::{ChildExit, Error, ErrorCode, Fd, HandleId, process::Child};

use super::{
    capture::{Capture, Read},
    printed::Printed,
    record::Record,
    stream::Stream,
};
use crate::missed_exit;

pub(super) struct Job {
    /// Its process, which leads a group.
    child: Child,
    /// What is known of it so far.
    record: Record,
    /// When it was started, by the clock that never goes back.
    started: Instant,
    /// What it prints, by [`Stream`]; `None` if that is not kept.
    captures: [Option<Capture>; 2],
    /// Timers that are to be cancelled when it is over.
    timers: Vec<HandleId>,
    /// What it was told.
    order: Order,
    /// How it has exited, if what it has started is still waited for.
    exited: Option<(i32, Option<ChildExit>)>,
    /// Whether it had exited when its watcher was last looked after.
    was_seen_dead: bool,
}

/// What a job was told, the harshest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    /// Nothing.
    Run,
    /// To end: TERM.
    End,
    /// KILL.
    Die,
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
        let job = Self {
            child,
            record,
            started,
            captures,
            timers: Vec::new(),
            order: Order::Run,
            exited: None,
            was_seen_dead: false,
        };
        (job, kept)
    }

    /// The descriptor of an output, if it is kept.
    pub(super) fn output(&self, stream: Stream) -> Option<Fd> {
        self.captures[stream as usize].as_ref().map(Capture::fd)
    }

    /// The descriptors of both.
    pub(super) fn outputs(&self) -> impl Iterator<Item = Fd> + use<> {
        Stream::BOTH.map(|stream| self.output(stream)).into_iter().flatten()
    }

    /// Reads once from an output; [`Read::End`] if there is nothing to come any more.
    pub(super) fn read(&mut self, stream: Stream, buffer: &mut [u8]) -> io::Result<Read> {
        self.captures[stream as usize].as_mut().map_or(Ok(Read::End), |capture| capture.read(buffer))
    }

    /// What it prints cannot be kept. What came so far is dropped: it is incomplete. The readers must be gone.
    pub(super) fn lose_output(&mut self, error: &io::Error) {
        self.captures = [None, None];
        self.record.error = Some(format!("its output could not be kept: {error}"));
    }

    /// A timer that belongs to the job.
    pub(super) fn keep_timer(&mut self, timer: HandleId) {
        self.timers.push(timer);
    }

    pub(super) fn take_timers(&mut self) -> Vec<HandleId> {
        mem::take(&mut self.timers)
    }

    /// It runs too long: tells it to end.
    pub(super) fn time_out(&mut self) {
        if self.order == Order::Run {
            self.record.timed_out = true;
        }
        self.tell(Order::End);
    }

    /// The batch is to end: tells it to end.
    pub(super) fn end(&mut self) {
        if self.order == Order::Run {
            self.record.ended = true;
        }
        self.tell(Order::End);
    }

    /// Kills it.
    pub(super) fn kill(&mut self) {
        self.record.ended |= self.order == Order::Run;
        self.tell(Order::Die);
    }

    /// Signals the job and everything it has started, unless that has left its group; not what it was told before.
    fn tell(&mut self, order: Order) {
        if order <= self.order {
            return;
        }
        let signum = if order == Order::Die { libc::SIGKILL } else { libc::SIGTERM };
        self.order = order;
        match self.child.send_signal_to_group(signum) {
            Err(error) if error.code() != ErrorCode::PROCESS_GONE => tracing::warn!("ending a job: {error}"),
            _ => {}
        }
    }

    /// It has exited; whether what it has started is to be waited for, because that was told to end, and may take its
    /// time too.
    pub(super) fn leaves_a_group(&mut self, returncode: i32, exit: Option<ChildExit>) -> bool {
        let leaves = self.order == Order::End && self.child.send_signal_to_group(0).is_ok();
        if leaves {
            self.exited = Some((returncode, exit));
        }
        leaves
    }

    /// The process group of a job that has exited and whose group is waited for.
    pub(super) fn group_left(&self) -> Option<i64> {
        self.exited.map(|_| self.child.pid())
    }

    /// How it has exited, if its group is waited for.
    pub(super) fn exited(&self) -> Option<(i32, Option<ChildExit>)> {
        self.exited
    }

    /// Whether it had exited already when this was last asked: then its watcher has had its time to tell.
    pub(super) fn is_overdue(&mut self) -> bool {
        let was_seen_dead = self.was_seen_dead;
        self.was_seen_dead = self.exited.is_none() && missed_exit::has_exited(self.child.pid());
        was_seen_dead && self.exited.is_none()
    }

    /// The returncode of a job whose watcher keeps silent; `None` if it lives after all.
    pub(super) fn returncode(&self) -> Result<Option<i32>, Error> {
        missed_exit::returncode(&self.child)
    }

    /// It is over: what is left of it, and whether the last of its output could not be kept.
    pub(super) fn finish(
        mut self,
        returncode: i32,
        exit: Option<ChildExit>,
        buffer: &mut [u8],
    ) -> (Printed, io::Result<()>) {
        self.record.finish(returncode, exit.as_ref(), self.started.elapsed());
        match self.finish_outputs(buffer) {
            Ok([stdout, stderr]) => (Printed { record: self.record, stdout, stderr }, Ok(())),
            Err(error) => {
                self.lose_output(&error);
                (Printed::nothing(self.record), Err(error))
            }
        }
    }

    fn finish_outputs(&mut self, buffer: &mut [u8]) -> io::Result<[Option<tempfile::SpooledTempFile>; 2]> {
        let mut outputs = [None, None];
        for (output, capture) in outputs.iter_mut().zip(mem::take(&mut self.captures)) {
            let Some(mut capture) = capture else { continue };
            capture.read_rest(buffer)?;
            *output = capture.finish()?;
        }
        Ok(outputs)
    }
}
