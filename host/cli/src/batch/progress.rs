//! How far a batch is.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Stands for a number that is not known.
const UNKNOWN: u64 = u64::MAX;

/// What the bar shows, counted in the loop's thread.
pub(super) struct Progress {
    /// Jobs that are over.
    ended: AtomicU64,
    /// Those of them that have failed by themselves.
    failed: AtomicU64,
    /// All jobs, or [`UNKNOWN`].
    total: AtomicU64,
}

impl Progress {
    pub(super) fn new(total: Option<u64>) -> Self {
        let total = AtomicU64::new(total.unwrap_or(UNKNOWN));
        Self { ended: AtomicU64::new(0), failed: AtomicU64::new(0), total }
    }

    /// Another job has ended; that many have failed so far.
    pub(super) fn advance(&self, failed: u64) {
        self.ended.fetch_add(1, Relaxed);
        self.failed.store(failed, Relaxed);
    }

    /// Now it is known how many there are.
    pub(super) fn set_total(&self, total: u64) {
        self.total.store(total, Relaxed);
    }

    pub(super) fn ended(&self) -> u64 {
        self.ended.load(Relaxed)
    }

    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    pub(super) fn total(&self) -> Option<u64> {
        Some(self.total.load(Relaxed)).filter(|total| *total != UNKNOWN)
    }
}
