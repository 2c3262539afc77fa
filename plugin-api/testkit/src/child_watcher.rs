//! The cases of child watchers.

use crate::{Case, Harness, Subject};

pub(crate) fn cases() -> impl Iterator<Item = &'static [Case]> {
    [].into_iter()
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
}
