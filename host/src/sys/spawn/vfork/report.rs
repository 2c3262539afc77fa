//! What a child tells its parent before it ends.

use std::{
    io,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use super::super::{Failure, Step};

/// Lies in memory that child and parent share even if the child has a copy of all else. No order is needed: the parent
/// reads after the child has executed or ended.
#[derive(Default)]
pub(super) struct Report {
    /// The [`Step`] that failed, or 0.
    step: AtomicU32,
    errno: AtomicU32,
}

impl Report {
    /// For the next child.
    pub(super) fn clear(&self) {
        self.step.store(0, Relaxed);
    }

    /// The child's part.
    pub(super) fn fail(&self, step: Step, errno: i32) {
        self.errno.store(errno as u32, Relaxed);
        self.step.store(step as u32, Relaxed);
    }

    /// The failure, if there was one.
    pub(super) fn failure(&self) -> Option<Failure> {
        let reported = self.step.load(Relaxed);
        let step = Step::IN_CHILD.into_iter().find(|step| *step as u32 == reported)?;
        Some(Failure { step, source: io::Error::from_raw_os_error(self.errno.load(Relaxed) as i32) })
    }
}
