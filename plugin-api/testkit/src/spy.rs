//! Objects that write down how they are called, to be given to what is under test.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use loophost_plugin_api::{
    Callback, ChildWatcher, Error, ErrorCode, Fd, LoopHandle, Policy, PolicyHandle, WatcherHandle,
};

use crate::record::Record;

/// A child watcher that does nothing but write down its calls, or passes them on to its base.
#[derive(Debug, Default)]
pub(crate) struct SpyWatcher {
    pub(crate) record: Record,
    pub(crate) base: Option<WatcherHandle>,
    pub(crate) is_inactive: bool,
    /// Fails every attach_loop.
    pub(crate) refuses_loops: bool,
}

impl ChildWatcher for SpyWatcher {
    fn add_child_handler(&self, pid: i64, pidfd: Fd, callback: Callback) -> Result<(), Error> {
        self.record.note("add_child_handler");
        self.base.as_ref().map_or(Ok(()), |base| base.add_child_handler(pid, pidfd, callback))
    }

    fn remove_child_handler(&self, pid: i64) -> Result<bool, Error> {
        self.record.note("remove_child_handler");
        self.base.as_ref().map_or(Ok(false), |base| base.remove_child_handler(pid))
    }

    fn attach_loop(&self, event_loop: Option<LoopHandle>) -> Result<(), Error> {
        self.record.note(if event_loop.is_some() { "attach_loop a loop" } else { "attach_loop none" });
        if self.refuses_loops {
            return Err(Error::new(ErrorCode::OTHER, "this watcher takes no loop"));
        }
        self.base.as_ref().map_or(Ok(()), |base| base.attach_loop(event_loop))
    }

    fn is_active(&self) -> bool {
        self.record.note("is_active");
        !self.is_inactive
    }

    fn begin_spawn(&self) -> Result<u64, Error> {
        self.record.note("begin_spawn");
        match (&self.base, self.is_inactive) {
            (_, true) => Err(Error::new(ErrorCode::INACTIVE, "this watcher is never active")),
            (Some(base), false) => base.begin_spawn(),
            (None, false) => Ok(0),
        }
    }

    fn end_spawn(&self, token: u64, pid: i64) -> Result<(), Error> {
        self.record.note(if pid > 0 { "end_spawn a child" } else { "end_spawn none" });
        self.base.as_ref().map_or(Ok(()), |base| base.end_spawn(token, pid))
    }

    fn close(&self) -> Result<(), Error> {
        self.record.note("close");
        self.base.as_ref().map_or(Ok(()), WatcherHandle::close)
    }

    fn name(&self) -> String {
        "the suite's spy".into()
    }
}

/// A policy around the one under test that writes down what comes back to it through `this`.
#[derive(Debug)]
pub(crate) struct SpyPolicy {
    pub(crate) record: Record,
    pub(crate) base: PolicyHandle,
    /// Fails every get_event_loop.
    pub(crate) has_no_loop: AtomicBool,
}

impl SpyPolicy {
    pub(crate) fn around(base: PolicyHandle, record: &Record) -> Self {
        Self { record: record.clone(), base, has_no_loop: AtomicBool::new(false) }
    }
}

impl Policy for SpyPolicy {
    fn get_event_loop(&self, this: &PolicyHandle) -> Result<LoopHandle, Error> {
        self.record.note("get_event_loop");
        if self.has_no_loop.load(SeqCst) {
            return Err(Error::new(ErrorCode::plugin(77), "the suite's policy has no loop"));
        }
        self.base.get_event_loop_as(this)
    }

    fn set_event_loop(&self, this: &PolicyHandle, event_loop: Option<LoopHandle>) -> Result<(), Error> {
        self.record.note("set_event_loop");
        self.base.set_event_loop_as(this, event_loop)
    }

    fn new_event_loop(&self, this: &PolicyHandle) -> Result<LoopHandle, Error> {
        self.record.note("new_event_loop");
        self.base.new_event_loop_as(this)
    }

    fn base(&self) -> Option<PolicyHandle> {
        Some(self.base.clone())
    }
}
