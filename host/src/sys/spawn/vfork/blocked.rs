//! All signals blocked, libc's own two included: its wrappers leave those out, and their handlers would run in the child.

use super::raw;

/// All 64 signals are blocked in this thread as long as it lives.
pub(super) struct AllBlocked {
    before: u64,
}

impl AllBlocked {
    pub(super) fn new() -> Self {
        Self { before: set_mask(u64::MAX) }
    }
}

impl Drop for AllBlocked {
    fn drop(&mut self) {
        set_mask(self.before);
    }
}

/// Sets the mask of this thread and gives the one before. It cannot fail with a valid operation and valid memory.
pub(super) fn set_mask(mask: u64) -> u64 {
    let mut before = 0_u64;
    let arguments =
        [libc::SIG_SETMASK as usize, &raw const mask as usize, &raw mut before as usize, size_of::<u64>()];
    // SAFETY: both sets are locals of the size that is named.
    let _ = unsafe { raw::call(libc::SYS_rt_sigprocmask, arguments) };
    before
}
