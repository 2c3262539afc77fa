//! Starts jobs, notices their ends, and decides when the batch is over. Everything here runs in the loop's thread.

use std::{
    cell::{RefCell, RefMut},
    collections::{BTreeMap, HashMap},
    error::Error as StdError,
    ffi::OsString,
    io,
    rc::Rc,
    time::{Duration, Instant},
};

use loophost::{
    Callback, ChildExit, Error, Event, LoopHandle, RepeatCallback,
    process::{self, Command, SpawnError, SpawnErrorKind, Stdio},
};

use super::{
    ENDING, Halt, capture,
    halt::When,
    job::{Job, Stream},
    job_stdin,
    progress::Progress,
    record::Record,
    source::{Next, Source},
    template::Template,
    writer::{Printed, Writer},
};
use crate::{exit_status::Outcome, log, missed_exit, sys::startup, watchdog::Watchdog};

/// Between TERM and KILL.
const GRACE: Duration = Duration::from_secs(5);
/// After a signal nobody may read any more: how long what is left to be written is waited for.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Outputs of finished jobs that may wait, for the writer or for their turn, before no new job is started.
const WAITING: usize = 256;

/// What is to be done.
pub(super) struct Plan {
    pub(super) template: Template,
    pub(super) source: Source,
    pub(super) jobs: usize,
    pub(super) ungroup: bool,
    pub(super) keep_order: bool,
    pub(super) json: bool,
    pub(super) halt: Option<Halt>,
    pub(super) timeout: Option<Duration>,
    pub(super) stdin_is_input: bool,
    /// What a job gets when loophost is killed.
    pub(super) death_signal: Option<i32>,
}

pub(super) struct Runner {
    event_loop: LoopHandle,
    watchdog: Watchdog,
    state: RefCell<State>,
}

struct State {
    plan: Plan,
    running: HashMap<u64, Job>,
    /// With `--keep-order`: ended, but not their turn yet.
    finished: BTreeMap<u64, Printed>,
    next_in_order: u64,
    started: u64,
    failed: u64,
    /// A value whose job could not be started for want of something that a job will give back.
    held: Option<OsString>,
    /// No job is started until one has ended.
    is_short: bool,
    input_ended: bool,
    waits_for_input: bool,
    /// Why no more jobs are started, if it is not the end of the input.
    ending: Option<Outcome>,
    writer: Option<Writer>,
    progress: Option<Progress>,
    buffer: Vec<u8>,
}

impl Runner {
    pub(super) fn new(event_loop: LoopHandle, watchdog: Watchdog, plan: Plan) -> Rc<Self> {
        let state = State {
            plan,
            running: HashMap::new(),
            finished: BTreeMap::new(),
            next_in_order: 1,
            started: 0,
            failed: 0,
            held: None,
            is_short: false,
            input_ended: false,
            waits_for_input: false,
            ending: None,
            writer: None,
            progress: None,
            buffer: vec![0; 64 * 1024],
        };
        Rc::new(Self { event_loop, watchdog, state: RefCell::new(state) })
    }

    /// Runs all jobs.
    pub(super) fn run(
        self: &Rc<Self>,
        writer: Writer,
        progress: Progress,
    ) -> Result<Outcome, Box<dyn StdError>> {
        self.event_loop.add_reader(writer.news(), self.repeat(|this, _| this.on_news()))?;
        self.event_loop.set_exception_handler(Some(self.repeat(|this, event| this.on_exception(event))))?;
        self.state().writer = Some(writer);
        self.state().progress = Some(progress.clone());
        self.event_loop.call_soon(self.once(|this, _| this.begin()))?;
        self.event_loop.run_forever()?;

        progress.finish();
        let writer = self.state().writer.take();
        if let Some(writer) = writer {
            self.event_loop.remove_reader(writer.news())?;
            let limit = matches!(self.state().outcome(), Outcome::Exited(_)).then_some(LAST_WORDS);
            if let Some(error) = writer.finish(limit) {
                self.lose_reader(&error);
            }
        }
        let state = self.state();
        let outcome = state.outcome();
        if matches!(outcome, Outcome::JobsFailed | Outcome::Halted) && !state.plan.json {
            log::say(&format!("{} of {} jobs failed", state.failed, state.started));
        }
        Ok(outcome)
    }

    fn state(&self) -> RefMut<'_, State> {
        self.state.borrow_mut()
    }

    fn once(self: &Rc<Self>, f: impl FnOnce(&Rc<Self>, &Event) -> Result<(), Error> + 'static) -> Callback {
        let this = self.clone();
        Callback::local(move |event| f(&this, event))
    }

    fn repeat(
        self: &Rc<Self>,
        f: impl Fn(&Rc<Self>, &Event) -> Result<(), Error> + 'static,
    ) -> RepeatCallback {
        let this = self.clone();
        RepeatCallback::local(move |event| f(&this, event))
    }

    fn begin(self: &Rc<Self>) -> Result<(), Error> {
        self.watchdog.running();
        // Not before the loop runs: until then the watchdog ends loophost by them.
        for signum in ENDING.into_iter().filter(|signum| !is_unwanted(*signum)) {
            self.event_loop.add_signal_handler(signum, self.repeat(move |this, _| this.on_signal(signum)))?;
        }
        self.look_for_missed_exits()?;
        self.pump()
    }

    /// Starts as many jobs as may run, and ends the loop when there is nothing left to do.
    fn pump(self: &Rc<Self>) -> Result<(), Error> {
        while self.state().may_start() {
            let next = self.state().next();
            match next {
                Ok(Next::Value(value)) => self.start(value)?,
                Ok(Next::Pending) => self.wait_for_input()?,
                Ok(Next::End) => self.state().end_input(),
                Err(error) => self.fail(&format!("reading the values: {error}"))?,
            }
        }
        if !self.state().is_done() {
            return Ok(());
        }
        self.watchdog.ending(self.state().outcome());
        self.event_loop.stop()
    }

    fn wait_for_input(self: &Rc<Self>) -> Result<(), Error> {
        let Some(fd) = self.state().plan.source.fd() else { return Ok(()) };
        match self.event_loop.add_reader(fd, self.repeat(move |this, _| this.on_input(fd))) {
            Ok(()) => self.state().waits_for_input = true,
            // A regular file is always ready, and epoll does not take it.
            Err(error) if error.os_errno() == Some(libc::EPERM) => self.read_input()?,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn on_input(self: &Rc<Self>, fd: loophost::Fd) -> Result<(), Error> {
        self.event_loop.remove_reader(fd)?;
        self.state().waits_for_input = false;
        self.read_input()?;
        self.pump()
    }

    fn read_input(self: &Rc<Self>) -> Result<(), Error> {
        let read = self.state().plan.source.fill();
        read.or_else(|error| self.fail(&format!("reading the values: {error}")))
    }

    fn start(self: &Rc<Self>, value: OsString) -> Result<(), Error> {
        let (command, seq) = self.state().command(&value);
        let (mut record, started) = (Record::new(seq, &value), Instant::now());
        let on_exit =
            self.once(move |this, event| this.on_exit(seq, event.result as i32, event.child_exit().copied()));
        match process::subprocess_exec(&self.event_loop, command, on_exit) {
            Ok(child) => {
                self.state().started = seq;
                let (job, kept) = Job::new(child, record, started);
                self.state().running.insert(seq, job);
                match kept {
                    Ok(()) => self.watch(seq)?,
                    Err(error) => self.lose_output(seq, &error)?,
                }
                Ok(())
            }
            Err(error) if self.state().can_retry(&error) => {
                let mut state = self.state();
                state.held = Some(value);
                state.is_short = true;
                Ok(())
            }
            Err(error) if is_fatal(&error) || self.state().is_same_for_all(&error) => {
                log::complain(&error);
                self.state().end(Outcome::NotStarted(error.kind()));
                Ok(())
            }
            Err(error) => {
                self.state().started = seq;
                let code = if error.kind() == SpawnErrorKind::NotFound { 127 } else { 126 };
                record.finish(code, None, started.elapsed());
                record.error = Some(error.to_string());
                tracing::warn!("job {seq}: {error}");
                self.complete(Printed { record, stdout: None, stderr: None })
            }
        }
    }

    /// Watches a new job's outputs and its time.
    fn watch(self: &Rc<Self>, seq: u64) -> Result<(), Error> {
        for stream in Stream::BOTH {
            let fd = self.state().job(seq).and_then(|job| job.capture(stream).map(|capture| capture.fd()));
            let Some(fd) = fd else { continue };
            self.event_loop.add_reader(fd, self.repeat(move |this, _| this.on_output(seq, stream)))?;
        }
        let timeout = self.state().plan.timeout;
        if let Some(timeout) = timeout {
            let timer =
                self.event_loop.call_later(timeout, self.once(move |this, _| this.on_timeout(seq)))?;
            if let Some(job) = self.state().job(seq) {
                job.timers.push(timer);
            }
        }
        Ok(())
    }

    fn on_output(self: &Rc<Self>, seq: u64, stream: Stream) -> Result<(), Error> {
        let (read, fd) = {
            let state = &mut *self.state();
            let Some(job) = state.running.get_mut(&seq) else { return Ok(()) };
            let fd = job.capture(stream).map(|capture| capture.fd());
            (job.read(stream, &mut state.buffer), fd)
        };
        match (read, fd) {
            (Ok(capture::Progress::Some | capture::Progress::Nothing), _) | (_, None) => {}
            (Ok(capture::Progress::End), Some(fd)) => {
                self.event_loop.remove_reader(fd)?;
            }
            (Err(error), Some(fd)) => {
                self.event_loop.remove_reader(fd)?;
                self.lose_output(seq, &error)?;
            }
        }
        Ok(())
    }

    fn on_exit(self: &Rc<Self>, seq: u64, returncode: i32, exit: Option<ChildExit>) -> Result<(), Error> {
        let job = self.state().running.remove(&seq);
        self.state().is_short = false;
        let Some(mut job) = job else { return Ok(()) };
        for stream in Stream::BOTH {
            if let Some(capture) = job.capture(stream) {
                // Before the pipe is closed.
                self.event_loop.remove_reader(capture.fd())?;
            }
        }
        for timer in job.timers.drain(..) {
            self.event_loop.cancel(timer)?;
        }
        let printed = job.finish(returncode, exit, &mut self.state().buffer);
        match printed {
            Ok(printed) => self.complete(printed)?,
            Err(error) => self.lose_output(seq, &error)?,
        }
        self.pump()
    }

    /// A job has ended, or could not be started: its output may be written, now or when it is its turn.
    fn complete(self: &Rc<Self>, printed: Printed) -> Result<(), Error> {
        let (seq, failed) = (printed.record.seq, printed.record.has_failed());
        let mut state = self.state();
        if failed {
            state.failed += 1;
            tracing::info!(seq, returncode = printed.record.returncode, "a job has failed");
        }
        let total_failed = state.failed;
        if let Some(progress) = &state.progress {
            progress.advance(total_failed);
        }
        if state.plan.keep_order {
            state.finished.insert(seq, printed);
            while let Some(next) = state.take_next_in_order() {
                state.write(next);
            }
        } else {
            state.write(printed);
        }
        let halt = state.plan.halt.filter(|halt| failed && total_failed >= halt.failures.get());
        drop(state);
        match halt {
            Some(Halt { when: When::Soon, .. }) => self.state().end(Outcome::Halted),
            Some(Halt { when: When::Now, .. }) => {
                self.state().end(Outcome::Halted);
                self.end_jobs()?;
            }
            None => {}
        }
        Ok(())
    }

    /// Ends the jobs that have exited and that their watcher has been silent about since the last look.
    fn look_for_missed_exits(self: &Rc<Self>) -> Result<(), Error> {
        let missed: Vec<u64> = self
            .state()
            .running
            .iter_mut()
            .filter_map(|(seq, job)| job.is_overdue().then_some(*seq))
            .collect();
        for seq in missed {
            let returncode = self.state().job(seq).map(|job| job.returncode()).transpose()?.flatten();
            if let Some(returncode) = returncode {
                self.on_exit(seq, returncode, None)?;
            }
        }
        let again = self.once(|this, _| this.look_for_missed_exits());
        self.event_loop.call_later(missed_exit::PATIENCE, again).map(drop)
    }

    fn on_timeout(self: &Rc<Self>, seq: u64) -> Result<(), Error> {
        if let Some(job) = self.state().job(seq) {
            job.time_out();
            job.signal(libc::SIGTERM);
        }
        let kill = self.once(move |this, _| {
            if let Some(job) = this.state().job(seq) {
                job.signal(libc::SIGKILL);
            }
            Ok(())
        });
        let timer = self.event_loop.call_later(GRACE, kill)?;
        if let Some(job) = self.state().job(seq) {
            job.timers.push(timer);
        }
        Ok(())
    }

    /// The first signal ends the jobs, the second one kills them.
    fn on_signal(self: &Rc<Self>, signum: i32) -> Result<(), Error> {
        let again = matches!(self.state().ending, Some(Outcome::Exited(_)));
        self.state().ending = Some(Outcome::Exited(-signum));
        if again {
            self.signal_all(libc::SIGKILL)
        } else {
            self.end_jobs()?
        }
        self.pump()
    }

    /// A callback has failed, for want of memory or descriptors.
    fn on_exception(self: &Rc<Self>, event: &Event) -> Result<(), Error> {
        let error = event.exception().and_then(|context| context.error);
        let message = error.map_or_else(|| "a callback has failed".to_owned(), ToString::to_string);
        // The loop may be unable to keep a timer: then they are killed at once.
        if self.fail(&message).is_err() {
            self.signal_all(libc::SIGKILL);
        }
        self.pump()
    }

    /// An output was written, or nothing can be written any more.
    fn on_news(self: &Rc<Self>) -> Result<(), Error> {
        let failure = self.state().writer.as_ref().and_then(Writer::read_news);
        if let Some(error) = failure {
            self.lose_reader(&error);
            self.end_jobs()?;
        }
        self.pump()
    }

    /// Nothing can be written any more. If it is because the reader is gone, that is no error, and has the status of a
    /// SIGPIPE, as for any program.
    fn lose_reader(&self, error: &io::Error) {
        if error.kind() == io::ErrorKind::BrokenPipe {
            self.state().end(Outcome::Exited(-libc::SIGPIPE));
        } else {
            self.say(&format!("writing the output of a job: {error}"));
            self.state().end(Outcome::Failed);
        }
    }

    fn lose_output(self: &Rc<Self>, seq: u64, error: &io::Error) -> Result<(), Error> {
        self.fail(&format!("keeping the output of job {seq}: {error}"))
    }

    /// loophost itself cannot go on: nothing new is started, what runs is ended.
    fn fail(self: &Rc<Self>, message: &str) -> Result<(), Error> {
        self.say(message);
        self.state().end(Outcome::Failed);
        self.end_jobs()
    }

    /// Ends all jobs; those that are still there after a while are killed.
    fn end_jobs(self: &Rc<Self>) -> Result<(), Error> {
        self.signal_all(libc::SIGTERM);
        let kill = self.once(|this, _| {
            this.signal_all(libc::SIGKILL);
            Ok(())
        });
        self.event_loop.call_later(GRACE, kill).map(drop)
    }

    fn signal_all(&self, signum: i32) {
        for job in self.state().running.values() {
            job.signal(signum);
        }
    }

    /// Says something without spoiling the progress bar.
    fn say(&self, message: &str) {
        let progress = self.state().progress.clone();
        match progress {
            Some(progress) => progress.suspend(|| log::say(message)),
            None => log::say(message),
        }
    }
}

impl State {
    fn may_start(&self) -> bool {
        let waiting = self.finished.len() + self.writer.as_ref().map_or(0, Writer::waiting);
        self.ending.is_none()
            && !self.waits_for_input
            && (!self.input_ended || self.held.is_some())
            && self.running.len() < self.plan.jobs
            && waiting < WAITING
            && !self.is_short
    }

    fn next(&mut self) -> io::Result<Next> {
        match self.held.take() {
            Some(value) => Ok(Next::Value(value)),
            None => self.plan.source.next(),
        }
    }

    fn is_done(&self) -> bool {
        let has_ended = self.ending.is_some() || (self.input_ended && self.held.is_none());
        let interrupted = matches!(self.ending, Some(Outcome::Exited(_)));
        let written = interrupted || self.writer.as_ref().is_none_or(|writer| writer.waiting() == 0);
        has_ended && self.running.is_empty() && written
    }

    fn outcome(&self) -> Outcome {
        match self.ending {
            Some(outcome) => outcome,
            None if self.failed > 0 => Outcome::JobsFailed,
            None => Outcome::Done,
        }
    }

    /// The first reason to end counts, unless it was a milder one.
    fn end(&mut self, outcome: Outcome) {
        if !matches!(self.ending, Some(Outcome::Exited(_) | Outcome::Failed)) {
            self.ending = Some(outcome);
        }
    }

    fn end_input(&mut self) {
        self.input_ended = true;
        if let Some(progress) = &self.progress {
            progress.set_total(self.started);
        }
    }

    fn job(&mut self, seq: u64) -> Option<&mut Job> {
        self.running.get_mut(&seq)
    }

    fn command(&self, value: &OsString) -> (Command, u64) {
        let seq = self.started + 1;
        let (program, args) = self.plan.template.fill(value, seq);
        let output = || if self.plan.ungroup { Stdio::Inherit } else { Stdio::Pipe };
        let mut command = Command::new(program)
            .args(args)
            .stdin(job_stdin(self.plan.stdin_is_input))
            .stdout(output())
            .stderr(output())
            // No terminal of ours, so that a job that asks for a password fails instead of being stopped for ever.
            .new_session();
        if let Some(signum) = self.plan.death_signal {
            command = command.death_signal(signum);
        }
        (command, seq)
    }

    /// Whether a job that ends will give back what was missing.
    fn can_retry(&self, error: &SpawnError) -> bool {
        let SpawnError::Os { source, .. } = error else { return false };
        let shortage =
            matches!(source.raw_os_error(), Some(libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE));
        shortage && !self.running.is_empty()
    }

    /// Whether no job of this batch can be started.
    fn is_same_for_all(&self, error: &SpawnError) -> bool {
        let wrong_program = matches!(error, SpawnError::NotFound { .. } | SpawnError::NotExecutable { .. });
        wrong_program && self.plan.template.has_fixed_program()
    }

    fn take_next_in_order(&mut self) -> Option<Printed> {
        let next = self.finished.remove(&self.next_in_order)?;
        self.next_in_order += 1;
        Some(next)
    }

    fn write(&self, printed: Printed) {
        let has_something = printed.stdout.is_some() || printed.stderr.is_some() || self.plan.json;
        if has_something && let Some(writer) = &self.writer {
            writer.give(printed);
        }
    }
}

/// Whether loophost's starter has taken precautions against a signal: `nohup`, or a shell without job control that has
/// put us in the background. TERM is for everybody.
fn is_unwanted(signum: i32) -> bool {
    signum != libc::SIGTERM && startup::ignored_signals().contains(signum)
}

/// Whether loophost itself could not start a program.
fn is_fatal(error: &SpawnError) -> bool {
    matches!(error, SpawnError::Os { .. } | SpawnError::Watcher(_))
}
