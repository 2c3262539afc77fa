//! The cases of child watchers.

mod attaching;
mod bad_input;
mod closing;
mod exits;
mod handlers;
mod signals;
mod strangers;

use crate::{
    Case, Harness, Subject, Verdict, test_loop::TestLoop, test_watcher::TestWatcher, verdict::skipped,
};

pub(crate) fn cases() -> impl Iterator<Item = &'static [Case]> {
    [
        exits::CASES,
        handlers::CASES,
        attaching::CASES,
        closing::CASES,
        strangers::CASES,
        bad_input::CASES,
        signals::CASES,
    ]
    .into_iter()
}

/// What a case of child watchers gets.
pub(crate) struct WatcherBench<'a> {
    pub(crate) harness: &'a dyn Harness,
    subject: &'a Subject<'a>,
}

impl<'a> WatcherBench<'a> {
    pub(crate) fn new(harness: &'a dyn Harness, subject: &'a Subject<'a>) -> Self {
        Self { harness, subject }
    }

    /// A fresh watcher that is attached to a fresh loop.
    pub(crate) fn watcher(&self) -> Verdict<TestWatcher<'a>> {
        let watcher = self.detached()?;
        watcher.attach_loop(Some(watcher.event_loop.clone()))?;
        Ok(watcher)
    }

    /// A fresh watcher that is attached to nothing, and a loop for it.
    pub(crate) fn detached(&self) -> Verdict<TestWatcher<'a>> {
        match self.subject {
            Subject::ChildWatcher(make) => Ok(TestWatcher::new(make()?, self.event_loop()?, self.harness)),
            Subject::EventLoop(_) | Subject::Policy(_) | Subject::Plugin(_) => {
                Err(skipped("there is no watcher"))
            }
        }
    }

    /// Another loop.
    pub(crate) fn event_loop(&self) -> Verdict<TestLoop> {
        TestLoop::new(self.harness.new_event_loop()?, self.harness.patience())
    }
}
