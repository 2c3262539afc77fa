//! The polls of what is watched, in a ring that belongs to the thread that runs the loop.

use std::{collections::HashSet, io};

use loophost_base_loop::Key;

use crate::{settings::Settings, sys::queues::Queues};

/// What has become ready is left in such a ring until its thread waits, and is told all at once. In one for any thread the
/// kernel tells of it at the end of each system call, a few events at a time: a tenth of what a small request costs.
pub(crate) struct Polls {
    pub(crate) queues: Queues,
    /// Those without a final completion.
    pub(crate) under_way: HashSet<Key>,
    /// Whether the other ring, that of the operations, is polled too.
    pub(crate) hears_operations: bool,
}

impl Polls {
    pub(crate) fn new(settings: &Settings) -> io::Result<Self> {
        let queues = Queues::new(settings.build_for_one_thread()?);
        Ok(Self { queues, under_way: HashSet::new(), hears_operations: false })
    }
}
