//! The life of the one child of `run`: spawn, signals, job control, exit.

use std::{
    cell::{Cell, OnceCell},
    error::Error,
    rc::Rc,
};

use loophost::{
    Callback, Event, LoopHandle, RepeatCallback,
    process::{self, Child, Command, SignalSet},
    signal,
};
use nix::{
    sys::{
        signal::Signal,
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};

use super::{
    FORWARDED,
    terminal::{self, Terminal},
};
use crate::{exit_status::Outcome, log, missed_exit, sys::signals, watchdog::Watchdog};

pub(super) struct Supervisor {
    watchdog: Watchdog,
    event_loop: LoopHandle,
    /// The terminal, if it is lent to the child.
    terminal: Option<Terminal>,
    /// Whether orphans are to be reaped.
    adopts: bool,
    child: OnceCell<Child>,
    /// The signals that arrived before the child was there.
    early: Cell<SignalSet>,
    outcome: Cell<Option<Outcome>>,
    /// Whether the child has exited and the watcher was given its time to tell.
    overdue: Cell<bool>,
}

impl Supervisor {
    pub(super) fn new(event_loop: LoopHandle, terminal: Option<Terminal>, watchdog: Watchdog) -> Rc<Self> {
        Rc::new(Self {
            watchdog,
            event_loop,
            terminal,
            adopts: process::adopts_orphans(),
            child: OnceCell::new(),
            early: Cell::new(SignalSet::EMPTY),
            outcome: Cell::new(None),
            overdue: Cell::new(false),
        })
    }

    /// Runs the loop until the child has exited.
    pub(super) fn run(self: &Rc<Self>, command: Command) -> Result<Outcome, Box<dyn Error>> {
        // The first subscription makes a thread and a descriptor: what can fail is done before there is a child.
        self.subscribe(libc::SIGCHLD)?;
        let this = self.clone();
        self.event_loop.call_soon(Callback::local(move |_| this.spawn(command)))?;
        let run = self.event_loop.run_forever();
        if let (None, Some(child)) = (self.outcome.get(), self.child.get()) {
            // The loop has failed. A program that nobody supervises must not go on behind its starter's back.
            report("killing the program", child.kill());
        }
        if let Some(terminal) = &self.terminal {
            terminal.take_back();
        }
        run?;
        self.outcome.get().ok_or_else(|| "the event loop stopped before the program had exited".into())
    }

    fn spawn(self: &Rc<Self>, command: Command) -> Result<(), loophost::Error> {
        self.watchdog.running();
        let this = self.clone();
        let on_exit = Callback::local(move |event| this.end(Outcome::Exited(event.result as i32)));
        // The signals are blocked and wait until they are subscribed to, below.
        self.early.set(signals::pending());
        let child = match process::subprocess_exec(&self.event_loop, command, on_exit) {
            Ok(child) => child,
            Err(error) => {
                let outcome = Outcome::NotStarted(error.kind());
                log::complain(&error);
                return self.end(outcome);
            }
        };
        tracing::debug!(pid = child.pid(), "started");
        let pid = child.pid();
        // The cell is empty: this runs once.
        let _ = self.child.set(child);
        if let Err(error) = self.tell_watchdog(pid) {
            tracing::warn!("watching the plugin: {error}");
        }
        let job_control = self.terminal.as_ref().map(|_| libc::SIGTSTP);
        FORWARDED.into_iter().chain(job_control).try_for_each(|signum| self.subscribe(signum)).or_else(
            |error| {
                tracing::error!("subscribing to signals: {error}");
                self.event_loop.stop()
            },
        )?;
        // Those that an earlier program in this process has left.
        self.reap_adopted();
        Ok(())
    }

    fn subscribe(self: &Rc<Self>, signum: i32) -> Result<(), loophost::Error> {
        let this = self.clone();
        self.event_loop.add_signal_handler(
            signum,
            RepeatCallback::local(move |event| {
                this.on_signal(signum, event);
                Ok(())
            }),
        )
    }

    fn on_signal(self: &Rc<Self>, signum: i32, event: &Event) {
        let Some(child) = self.child.get() else { return };
        if signum == libc::SIGCHLD {
            self.reap_adopted();
            self.mirror_stop(child);
            self.expect_news(child);
            return;
        }
        let from_terminal = event.flags & Event::FROM_KERNEL != 0;
        let early = self.early.replace(self.early.get().without(SignalSet::EMPTY.with(signum)));
        match &self.terminal {
            // The child is in loophost's group and has got it too, unless it was not there yet.
            None if from_terminal && !early.contains(signum) && !is_for_leader_alone(signum) => {}
            Some(terminal) if signum == libc::SIGCONT => self.resume(terminal, child),
            // As a terminal does it.
            Some(_) if signum == libc::SIGTSTP => forward_to_group(child, signum),
            _ => forward(child, signum),
        }
    }

    /// The watcher should tell of the child's exit now.
    fn expect_news(self: &Rc<Self>, child: &Child) {
        if self.overdue.get() || !missed_exit::has_exited(child.pid()) {
            return;
        }
        self.overdue.set(true);
        let this = self.clone();
        let late = Callback::local(move |_| this.take_status());
        if let Err(error) = self.event_loop.call_later(missed_exit::PATIENCE, late) {
            tracing::warn!("waiting for the child watcher: {error}");
        }
    }

    /// The watcher has said nothing.
    fn take_status(&self) -> Result<(), loophost::Error> {
        let (None, Some(child)) = (self.outcome.get(), self.child.get()) else { return Ok(()) };
        match missed_exit::returncode(child)? {
            Some(returncode) => self.end(Outcome::Exited(returncode)),
            None => Ok(()),
        }
    }

    fn end(&self, outcome: Outcome) -> Result<(), loophost::Error> {
        self.outcome.set(Some(outcome));
        self.watchdog.ending(outcome);
        self.event_loop.stop()
    }

    /// Has the watchdog know of the child's exit, should the loop not notice it.
    fn tell_watchdog(&self, pid: i64) -> Result<(), loophost::Error> {
        if !self.watchdog.is_watching() {
            return Ok(());
        }
        let watchdog = self.watchdog.clone();
        let look = move || {
            if missed_exit::has_exited(pid) {
                watchdog.ending_unknown_to_loop(move || Outcome::Exited(missed_exit::returncode_of(pid)));
            }
        };
        let on_sigchld = look.clone();
        signal::subscribe(
            libc::SIGCHLD,
            RepeatCallback::new(move |_| {
                on_sigchld();
                Ok(())
            }),
        )?;
        // It may have exited before.
        look();
        Ok(())
    }

    fn reap_adopted(&self) {
        if !self.adopts {
            return;
        }
        match process::reap_adopted() {
            Ok(0) => {}
            Ok(count) => tracing::debug!(count, "reaped adopted orphans"),
            Err(error) => tracing::warn!("{error}"),
        }
    }

    /// A child that was stopped (^Z) stops loophost too, so that the shell gets its terminal back.
    fn mirror_stop(self: &Rc<Self>, child: &Child) {
        let Some(terminal) = &self.terminal else { return };
        let pid = Pid::from_raw(child.pid() as i32);
        let stopped = waitid(Id::Pid(pid), WaitPidFlag::WSTOPPED | WaitPidFlag::WNOHANG);
        let Ok(WaitStatus::Stopped(_, signal)) = stopped else { return };
        let was_lent = terminal.take_back();
        let was_stopped = self.stop().unwrap_or_else(|error| {
            tracing::warn!("stopping loophost: {error}");
            false
        });
        if was_stopped {
            return;
        }
        if was_lent {
            terminal.lend(pid.as_raw());
        }
        // Nobody could continue it, so without loophost the kernel would have ignored the ^Z. A program that was stopped
        // otherwise stays so: who sends a STOP also sends the CONT.
        if signal == Signal::SIGTSTP {
            tracing::debug!("the program was stopped and nobody could continue it: continuing it");
            forward_to_group(child, libc::SIGCONT);
        }
    }

    /// Stops loophost and the rest of its group; false if that is impossible.
    fn stop(self: &Rc<Self>) -> Result<bool, Box<dyn Error>> {
        const JOB_CONTROL: [i32; 2] = [libc::SIGTSTP, libc::SIGCONT];
        for signum in JOB_CONTROL {
            self.event_loop.remove_signal_handler(signum)?;
        }
        let continued = signals::stop_own_group();
        // The CONT is still waiting, and arrives now.
        for signum in JOB_CONTROL {
            self.subscribe(signum)?;
        }
        Ok(continued?)
    }

    /// The shell has continued loophost: so must the child be, with the terminal if loophost has it.
    fn resume(&self, terminal: &Terminal, child: &Child) {
        terminal.lend_again(child.pid() as i32);
        forward_to_group(child, libc::SIGCONT);
    }
}

/// Whether the kernel sends a signal to the leader of a session and not to a group: a terminal that hangs up.
fn is_for_leader_alone(signum: i32) -> bool {
    matches!(signum, libc::SIGHUP | libc::SIGCONT) && terminal::is_session_leader()
}

fn forward(child: &Child, signum: i32) {
    tracing::debug!(signum, pid = child.pid(), "forwarding a signal");
    report("forwarding a signal", child.send_signal(signum));
}

fn forward_to_group(child: &Child, signum: i32) {
    tracing::debug!(signum, pid = child.pid(), "forwarding a signal to the group");
    report("forwarding a signal", child.send_signal_to_group(signum));
}

fn report(what: &str, sent: Result<(), loophost::Error>) {
    match sent {
        Ok(()) => {}
        // It has exited meanwhile, which is what most signals are for.
        Err(error) if error.code() == loophost::ErrorCode::PROCESS_GONE => {}
        Err(error) => tracing::warn!("{what}: {error}"),
    }
}
