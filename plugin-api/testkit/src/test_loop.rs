//! A loop under test, and the ways to run it that end.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use loophost_plugin_api::{Callback, Capabilities, ErrorCode, LoopHandle, RepeatCallback, Stat};

use crate::{
    record::Record,
    verdict::{Verdict, failed, skipped},
};

/// How long a turn may wait for something that comes from elsewhere, before the condition is looked at again.
const SLICE: Duration = Duration::from_millis(20);

/// A loop that is closed at the end of the case. A callback that fails, fails the case at the next turn.
#[derive(Debug)]
pub(crate) struct TestLoop {
    handle: LoopHandle,
    patience: Duration,
    errors: Record,
}

impl TestLoop {
    pub(crate) fn new(handle: LoopHandle, patience: Duration) -> Verdict<Self> {
        let errors = Record::default();
        let this = Self { handle, patience, errors: errors.clone() };
        let handler = RepeatCallback::new(move |event| {
            let context = event.exception();
            let message = context.map_or("no context", |context| context.message.as_str());
            let error = context.and_then(|context| context.error).map(ToString::to_string);
            errors.note(format!("{message}: {}", error.unwrap_or_default()));
            Ok(())
        });
        match this.handle.set_exception_handler(Some(handler)) {
            Err(error) if error.code() != ErrorCode::NOT_SUPPORTED => Err(error.into()),
            _ => Ok(this),
        }
    }

    /// Skips the case if the loop says that it lacks that.
    pub(crate) fn requires(&self, capability: u64, name: &str) -> Verdict<()> {
        if self.handle.capabilities() & capability == 0 {
            return Err(skipped(format!("the loop has no capability {name}")));
        }
        Ok(())
    }

    pub(crate) fn requires_readiness(&self) -> Verdict<()> {
        self.requires(Capabilities::READINESS, "READINESS")
    }

    pub(crate) fn requires_signals(&self) -> Verdict<()> {
        self.requires(Capabilities::SIGNALS, "SIGNALS")
    }

    /// A figure; skips the case if the loop does not count it.
    pub(crate) fn requires_stat(&self, stat: Stat, name: &str) -> Verdict<u64> {
        self.handle.stat(stat).ok_or_else(|| skipped(format!("the loop does not count {name}")))
    }

    /// One turn that waits for nothing.
    #[track_caller]
    pub(crate) fn turn(&self) -> Verdict<()> {
        self.handle.run_once(Some(Duration::ZERO))?;
        self.check_errors()
    }

    /// Turns until the condition holds.
    #[track_caller]
    pub(crate) fn turns_until(&self, what: &str, mut holds: impl FnMut() -> bool) -> Verdict<()> {
        let start = Instant::now();
        while !holds() {
            if start.elapsed() > self.patience {
                return Err(failed(format!("waited {:?} in vain for {what}", self.patience)));
            }
            self.handle.run_once(Some(SLICE))?;
            self.check_errors()?;
        }
        Ok(())
    }

    /// One turn that something must end: a lost wake-up is a failure.
    #[track_caller]
    pub(crate) fn turn_woken_by(&self, what: &str) -> Verdict<()> {
        let start = Instant::now();
        self.handle.run_once(Some(self.patience))?;
        if start.elapsed() >= self.patience {
            return Err(failed(format!("the loop slept {:?} through {what}", self.patience)));
        }
        self.check_errors()
    }

    /// Runs until somebody stops it.
    #[track_caller]
    pub(crate) fn run(&self, what: &str) -> Verdict<()> {
        let too_late = Arc::new(AtomicBool::new(false));
        let (event_loop, late) = (self.handle.clone(), too_late.clone());
        let watchdog = self.handle.call_later(
            self.patience,
            Callback::new(move |_| {
                late.store(true, SeqCst);
                event_loop.stop()
            }),
        )?;
        self.handle.run_forever()?;
        if too_late.load(SeqCst) {
            return Err(failed(format!("waited {:?} in vain for {what}", self.patience)));
        }
        self.handle.cancel(watchdog)?;
        self.check_errors()
    }

    /// A callback that stops the loop.
    pub(crate) fn stopper(&self) -> Callback {
        let event_loop = self.handle.clone();
        Callback::new(move |_| event_loop.stop())
    }

    #[track_caller]
    pub(crate) fn check_errors(&self) -> Verdict<()> {
        match self.errors.take().first() {
            Some(error) => Err(failed(format!("a callback failed: {error}"))),
            None => Ok(()),
        }
    }
}

impl Deref for TestLoop {
    type Target = LoopHandle;

    fn deref(&self) -> &LoopHandle {
        &self.handle
    }
}

impl Drop for TestLoop {
    fn drop(&mut self) {
        // Of a case that has failed half-way; one that is about closing has done it.
        let _ = self.handle.close();
    }
}
