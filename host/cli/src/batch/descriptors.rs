//! How many jobs there are descriptors for.

use std::fs;

use nix::sys::resource::{Resource, getrlimit};

/// What a job that runs holds: its pidfd, two pipes, and a temporary file for what comes out of each.
const PER_JOB: usize = 5;
/// The same if nothing is kept of what it prints.
const PER_UNGROUPED_JOB: usize = 1;
/// For what is open only while a job is started, and for what loop and watcher may open yet.
const RESERVE: usize = 16;
/// What is taken for open where that cannot be seen.
const OPEN: usize = 32;

/// The descriptors that this process may still open. Jobs are started only as long as what they may come to need is
/// there: a job whose output could not be kept for want of a descriptor would be lost, a later one is only late.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptors {
    /// How many those are.
    free: usize,
    /// How many of them a job may come to need.
    per_job: usize,
}

impl Descriptors {
    /// Counts what is there now.
    pub(super) fn new(ungroup: bool) -> Self {
        let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
        let open = fs::read_dir("/proc/self/fd").map_or(OPEN, Iterator::count);
        let free = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(open + RESERVE);
        Self { free, per_job: if ungroup { PER_UNGROUPED_JOB } else { PER_JOB } }
    }

    /// How many jobs may run at a time; one in any case.
    pub(super) fn jobs(self) -> usize {
        (self.free / self.per_job).max(1)
    }

    /// Whether another job may be started beside those that run, while outputs that wait hold so many files. One may in
    /// any case, once nothing runs and nothing waits.
    pub(super) fn suffice(self, running: usize, files: usize) -> bool {
        running + files == 0 || (running + 1).saturating_mul(self.per_job).saturating_add(files) <= self.free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_needs_its_share() {
        let descriptors = Descriptors { free: 17, per_job: 5 };
        assert_eq!(descriptors.jobs(), 3);
        assert!(descriptors.suffice(2, 2) && !descriptors.suffice(2, 3));
        let none = Descriptors { free: 0, per_job: 5 };
        assert_eq!(none.jobs(), 1);
        assert!(none.suffice(0, 0) && !none.suffice(1, 0) && !none.suffice(0, 1));
    }
}
