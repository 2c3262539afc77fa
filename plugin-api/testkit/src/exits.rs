//! What child handlers were told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use loophost_plugin_api::{Callback, Event, EventKind};

use crate::{
    record::Record,
    verdict::{Verdict, ensure, failed},
};

/// One call of a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) pid: i64,
    pub(crate) returncode: i64,
    pub(crate) flags: u32,
    /// As wait(2) encodes it; `None` if the event has no details.
    pub(crate) raw_status: Option<i32>,
    pub(crate) is_child_event: bool,
}

/// A shared list of calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exits {
    calls: Arc<Mutex<Vec<Exit>>>,
    /// The drops of handlers.
    pub(crate) drops: Record,
}

impl Exits {
    fn calls(&self) -> MutexGuard<'_, Vec<Exit>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A handler that writes down what it is told.
    pub(crate) fn handler(&self) -> Callback {
        let calls = self.clone();
        let dropped = crate::record::NotesDrop(self.drops.clone(), "dropped");
        Callback::new(move |event| {
            let _until_here = &dropped;
            calls.add(event);
            Ok(())
        })
    }

    /// Writes down one call.
    pub(crate) fn add(&self, event: &Event<'_>) {
        self.calls().push(Exit {
            pid: event.aux.try_into().unwrap_or(-1),
            returncode: event.result,
            flags: event.flags,
            raw_status: event.child_exit().map(|exit| exit.raw_status),
            is_child_event: event.kind() == EventKind::CHILD,
        });
    }

    pub(crate) fn len(&self) -> usize {
        self.calls().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn all(&self) -> Vec<Exit> {
        self.calls().clone()
    }

    /// The only call.
    #[track_caller]
    pub(crate) fn only(&self) -> Verdict<Exit> {
        match &**self.calls() {
            [only] => Ok(*only),
            calls => Err(failed(format!("expected one call of the handler, got {}: {calls:?}", calls.len()))),
        }
    }

    /// The only call must be for that child, with that returncode, which nobody else has taken.
    #[track_caller]
    pub(crate) fn expect(&self, pid: i64, returncode: i64) -> Verdict<()> {
        let exit = self.only()?;
        ensure!(exit.pid == pid, "expected the exit of process {pid}, got that of {}", exit.pid);
        let got = exit.returncode;
        ensure!(got == returncode, "process {pid}: expected returncode {returncode}, got {got}");
        let flags = exit.flags & (Event::STATUS_LOST | Event::RECOVERED);
        ensure!(flags == 0, "process {pid}: its status was taken by somebody else (flags {flags:#x})");
        Ok(())
    }

    /// The only call must be for that child, whose status somebody else may have taken: 255 then, or the true one where
    /// the kernel still knows it.
    #[track_caller]
    pub(crate) fn expect_lost_or(&self, pid: i64, returncode: i64) -> Verdict<()> {
        let exit = self.only()?;
        ensure!(exit.pid == pid, "expected the exit of process {pid}, got that of {}", exit.pid);
        let (got, flags) = (exit.returncode, exit.flags);
        let is_lost = flags & Event::STATUS_LOST != 0;
        let expected = if is_lost { 255 } else { returncode };
        ensure!(
            got == expected,
            "process {pid}, flags {flags:#x}: expected returncode {expected}, got {got}"
        );
        Ok(())
    }
}
