//! The polls of what is watched, in a ring that belongs to the thread that runs the loop.

use std::{collections::HashSet, io};

use loophost_base_loop::Key;

use crate::{settings::Settings, sys::queues::Queues};

/// What has become ready is left in such a ring until its thread asks for it. In one for any thread the kernel tells of it at
/// the end of each system call, which costs more and makes many small turns of what could be one.
pub(crate) struct Polls {
    pub(crate) queues: Queues,
    /// Those without a final completion.
    pub(crate) under_way: HashSet<Key>,
    /// Whether the other ring, that of the operations, is polled too.
    pub(crate) hears_operations: bool,
}

impl Polls {
    /// `None` if the kernel has no such rings.
    pub(crate) fn new(settings: &Settings) -> io::Result<Option<Self>> {
        let ring = match settings.build_for_one_thread() {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(None),
            result => result?,
        };
        Ok(Some(Self { queues: Queues::new(ring), under_way: HashSet::new(), hears_operations: false }))
    }
}
