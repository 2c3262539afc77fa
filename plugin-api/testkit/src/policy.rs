//! The cases of policies.

use crate::{Case, Harness, Subject};

pub(crate) const CASES: &[Case] = &[];

/// What a case of policies gets.
pub(crate) struct PolicyBench<'a> {
    pub(crate) harness: &'a dyn Harness,
    subject: &'a Subject<'a>,
}

impl<'a> PolicyBench<'a> {
    pub(crate) fn new(harness: &'a dyn Harness, subject: &'a Subject<'a>) -> Self {
        Self { harness, subject }
    }
}
