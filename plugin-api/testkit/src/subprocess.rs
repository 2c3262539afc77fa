//! The cases of subprocesses: a policy and its watcher, or a watcher under the default policy, from spawn to callback.

use crate::{Case, Harness, Subject, Verdict};

pub(crate) const CASES: &[Case] = &[];

/// What a case of subprocesses gets.
pub(crate) struct SubprocessBench<'a> {
    pub(crate) harness: &'a dyn Harness,
    subject: &'a Subject<'a>,
}

impl<'a> SubprocessBench<'a> {
    pub(crate) fn new(harness: &'a dyn Harness, subject: &'a Subject<'a>) -> Verdict<Self> {
        Ok(Self { harness, subject })
    }
}
