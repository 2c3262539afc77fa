//! The loop of a batch: starts jobs ([`starts`]), notices their ends, ends them ([`ends`]) and itself. Everything here runs
//! in the loop's thread, and nothing waits.

mod ends;
mod starts;

use std::{
    cell::{RefCell, RefMut},
    error::Error as StdError,
    io, mem,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use loophost::{Callback, ChildExit, Error, Event, Fd, LoopHandle, RepeatCallback};

use super::{
    ENDING, capture, halt::When, job::Job, plan::Plan, printed::Printed, progress::Progress, state::State,
    stream::Stream, values::Next, writer::Writer,
};
use crate::{exit_status::Outcome, missed_exit, sys::startup, watchdog::Watchdog};

/// How long what is left to be written is waited for when the loop has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Jobs that are started before the loop looks for signals, timers and ends again.
const STARTS: usize = 64;

pub(super) struct Runner {
    /// The loop that all of this runs in.
    event_loop: LoopHandle,
    /// Ends loophost if a plugin keeps it from ending.
    watchdog: Watchdog,
    /// Never borrowed while something else is called that may come back here.
    state: RefCell<State>,
}

impl Runner {
    pub(super) fn new(
        event_loop: LoopHandle,
        watchdog: Watchdog,
        plan: Plan,
        writer: Writer,
        progress: Arc<Progress>,
    ) -> Rc<Self> {
        Rc::new(Self { event_loop, watchdog, state: State::new(plan, writer, progress).into() })
    }

    /// Runs all jobs.
    pub(super) fn run(self: &Rc<Self>) -> Result<Outcome, Box<dyn StdError>> {
        let ran = self.run_loop();
        if ran.is_err() {
            // Programs that nobody supervises must not go on behind their starter's back.
            self.state().running.values_mut().for_each(Job::kill);
        }
        self.state().writer.finish(LAST_WORDS);
        ran?;
        Ok(self.state().outcome())
    }

    fn run_loop(self: &Rc<Self>) -> Result<(), Box<dyn StdError>> {
        let news = self.state().writer.news();
        self.event_loop.add_reader(news, self.repeat(|this, _| this.on_news()))?;
        self.event_loop.set_exception_handler(Some(self.repeat(|this, event| this.on_exception(event))))?;
        self.event_loop.call_soon(self.once(|this, _| this.begin()))?;
        self.event_loop.run_forever()?;
        if !self.state().is_over() {
            return Err("the event loop stopped before all jobs had ended".into());
        }
        self.event_loop.remove_reader(news)?;
        Ok(())
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

    /// Starts as many jobs as may run, but not so many at once that a signal would have to wait for it; and ends the loop
    /// when there is nothing left to do.
    fn pump(self: &Rc<Self>) -> Result<(), Error> {
        let mut left = STARTS;
        while self.state().may_start() {
            if left == 0 {
                return self.pump_soon();
            }
            left -= 1;
            let next = self.state().next();
            match next {
                Next::Value(value) => self.start(value)?,
                Next::TooLong(beginning) => self.refuse_long(beginning)?,
                Next::Pending if self.state().input_is_ready => {
                    self.read_input()?;
                    left = 0;
                }
                Next::Pending => self.wait_for_input()?,
                Next::End => self.state().end_input(),
            }
        }
        self.stop_if_over()
    }

    fn pump_soon(self: &Rc<Self>) -> Result<(), Error> {
        if mem::replace(&mut self.state().pump_is_queued, true) {
            return Ok(());
        }
        let pump = self.once(|this, _| {
            this.state().pump_is_queued = false;
            this.pump()
        });
        self.event_loop.call_soon(pump).map(drop)
    }

    fn stop_if_over(&self) -> Result<(), Error> {
        if !self.state().is_over() {
            return Ok(());
        }
        // The writer tells of a failure before it counts what it could not write.
        let failure = self.state().writer.take_failure();
        if let Some(error) = failure {
            self.lose_reader(&error);
            if !self.state().is_over() {
                return Ok(());
            }
        }
        self.watchdog.ending(self.state().outcome());
        self.event_loop.stop()
    }

    fn wait_for_input(self: &Rc<Self>) -> Result<(), Error> {
        let Some(fd) = self.state().plan.values.fd() else { return Ok(()) };
        match self.event_loop.add_reader(fd, self.repeat(move |this, _| this.on_input(fd))) {
            Ok(()) => self.state().waits_for_input = true,
            // A regular file is always ready, and epoll does not take it.
            Err(error) if error.os_errno() == Some(libc::EPERM) => self.state().input_is_ready = true,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn on_input(self: &Rc<Self>, fd: Fd) -> Result<(), Error> {
        self.event_loop.remove_reader(fd)?;
        self.state().waits_for_input = false;
        self.read_input()?;
        self.pump()
    }

    fn read_input(self: &Rc<Self>) -> Result<(), Error> {
        let read = self.state().plan.values.fill();
        read.or_else(|message| self.fail(message))
    }

    /// A timer that ends with a job.
    fn call_later_for(
        self: &Rc<Self>,
        seq: u64,
        delay: Duration,
        f: impl FnOnce(&Rc<Self>, u64) -> Result<(), Error> + 'static,
    ) -> Result<(), Error> {
        let timer = self.event_loop.call_later(delay, self.once(move |this, _| f(this, seq)))?;
        if let Some(job) = self.state().running.get_mut(&seq) {
            job.keep_timer(timer);
        }
        Ok(())
    }

    fn on_output(self: &Rc<Self>, seq: u64, stream: Stream) -> Result<(), Error> {
        let (read, fd) = {
            let state = &mut *self.state();
            let Some(job) = state.running.get_mut(&seq) else { return Ok(()) };
            let Some(fd) = job.output(stream) else { return Ok(()) };
            (job.read(stream, &mut state.buffer), fd)
        };
        match read {
            Ok(capture::Read::Some | capture::Read::Nothing) => Ok(()),
            Ok(capture::Read::End) => self.event_loop.remove_reader(fd).map(drop),
            Err(error) => self.lose_output(seq, &error),
        }
    }

    fn on_exit(self: &Rc<Self>, seq: u64, returncode: i32, exit: Option<ChildExit>) -> Result<(), Error> {
        let mut state = self.state();
        let Some(job) = state.running.get_mut(&seq) else { return Ok(()) };
        if job.leaves_a_group(returncode, exit) {
            drop(state);
            return self.look_at_groups();
        }
        drop(state);
        self.finish(seq, returncode, exit)?;
        self.pump()
    }

    /// A job is over.
    fn finish(self: &Rc<Self>, seq: u64, returncode: i32, exit: Option<ChildExit>) -> Result<(), Error> {
        let job = self.state().running.remove(&seq);
        self.state().is_short = false;
        let Some(mut job) = job else { return Ok(()) };
        for fd in job.outputs() {
            // Before the pipe is closed.
            self.event_loop.remove_reader(fd)?;
        }
        for timer in job.take_timers() {
            self.event_loop.cancel(timer)?;
        }
        let (printed, kept) = job.finish(returncode, exit, &mut self.state().buffer);
        self.complete(printed)?;
        kept.or_else(|error| self.fail(output_lost(seq, &error)))
    }

    /// A job has ended, or could not be started.
    fn complete(self: &Rc<Self>, printed: Printed) -> Result<(), Error> {
        let mut state = self.state();
        let when = state.complete(printed).and_then(|failures| state.plan.halts_after(failures));
        if when.is_some() {
            state.end(Outcome::Halted);
        }
        drop(state);
        if when == Some(When::Now) { self.end_jobs() } else { Ok(()) }
    }

    /// Ends the jobs that have exited and that their watcher has been silent about since the last look.
    fn look_for_missed_exits(self: &Rc<Self>) -> Result<(), Error> {
        let mut missed = Vec::new();
        for (seq, job) in &mut self.state().running {
            if job.is_overdue()
                && let Some(returncode) = job.returncode()?
            {
                missed.push((*seq, returncode));
            }
        }
        for (seq, returncode) in missed {
            self.on_exit(seq, returncode, None)?;
        }
        let again = self.once(|this, _| this.look_for_missed_exits());
        self.event_loop.call_later(missed_exit::PATIENCE, again).map(drop)
    }

    /// A callback has failed, for want of memory or descriptors.
    fn on_exception(self: &Rc<Self>, event: &Event) -> Result<(), Error> {
        let error = event.exception().and_then(|context| context.error);
        let message = error.map_or_else(|| "a callback has failed".to_owned(), ToString::to_string);
        // The loop may be unable to keep a timer: then they are killed at once.
        if self.fail(message).is_err() {
            self.kill_jobs()?;
        }
        self.pump()
    }

    /// Something was written, or nothing can be written any more.
    fn on_news(self: &Rc<Self>) -> Result<(), Error> {
        self.state().writer.read_news();
        let failure = self.state().writer.take_failure();
        if let Some(error) = failure {
            self.lose_reader(&error);
            self.end_jobs()?;
        }
        self.try_again()
    }

    /// Nothing can be written any more. If it is because the reader is gone, that is no error, and has the status of a
    /// SIGPIPE, as for any program.
    fn lose_reader(&self, error: &io::Error) {
        let mut state = self.state();
        if error.kind() == io::ErrorKind::BrokenPipe {
            state.end(Outcome::Exited(-libc::SIGPIPE));
        } else {
            state.writer.say(format!("writing the output of a job: {error}"));
            state.end(Outcome::Failed);
        }
    }

    /// What a job that runs prints cannot be kept.
    fn lose_output(self: &Rc<Self>, seq: u64, error: &io::Error) -> Result<(), Error> {
        let outputs: Vec<_> = self.state().running.get(&seq).into_iter().flat_map(Job::outputs).collect();
        for fd in outputs {
            self.event_loop.remove_reader(fd)?;
        }
        if let Some(job) = self.state().running.get_mut(&seq) {
            job.lose_output(error);
        }
        self.fail(output_lost(seq, error))
    }

    /// loophost itself cannot go on: nothing new is started, what runs is ended.
    fn fail(self: &Rc<Self>, message: String) -> Result<(), Error> {
        let mut state = self.state();
        state.writer.say(message);
        state.end(Outcome::Failed);
        drop(state);
        self.end_jobs()
    }
}

fn output_lost(seq: u64, error: &io::Error) -> String {
    let folder = std::env::temp_dir();
    let folder = folder.display();
    format!("keeping the output of job {seq} in {folder}: {error}; TMPDIR may name another folder")
}

/// Whether loophost's starter has taken precautions against a signal: `nohup`, or a shell without job control that has
/// put us in the background. TERM is for everybody.
fn is_unwanted(signum: i32) -> bool {
    signum != libc::SIGTERM && startup::ignored_signals().contains(signum)
}
