//! What foreign code does with a signal, for tests: a disposition behind the broker's back.

use std::{io, mem::MaybeUninit, ptr};

/// A disposition that is not ours. Dropped, what was there before is put back.
pub(crate) struct ForeignDisposition {
    signum: i32,
    before: libc::sigaction,
}

impl ForeignDisposition {
    /// The signal is ignored; if it is SIGCHLD the kernel reaps children by itself.
    pub(crate) fn ignore(signum: i32) -> io::Result<Self> {
        Self::set(signum, libc::SIG_IGN)
    }

    /// A handler that does nothing and calls no other.
    pub(crate) fn do_nothing(signum: i32) -> io::Result<Self> {
        Self::set(signum, nothing as *const () as usize)
    }

    fn set(signum: i32, handler: usize) -> io::Result<Self> {
        let mut mask = MaybeUninit::uninit();
        // SAFETY: the call fills the set.
        let sa_mask = unsafe {
            libc::sigemptyset(mask.as_mut_ptr());
            mask.assume_init()
        };
        let new =
            libc::sigaction { sa_sigaction: handler, sa_mask, sa_flags: libc::SA_RESTART, sa_restorer: None };
        let mut before = MaybeUninit::uninit();
        // SAFETY: `new` is valid, and its handler does nothing; `before` is valid for writing.
        if unsafe { libc::sigaction(signum, &raw const new, before.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call has succeeded and so has written the old disposition.
        Ok(Self { signum, before: unsafe { before.assume_init() } })
    }
}

impl Drop for ForeignDisposition {
    fn drop(&mut self) {
        // SAFETY: it was in place before, so whoever installed it guarantees what it does.
        unsafe { libc::sigaction(self.signum, &raw const self.before, ptr::null_mut()) };
    }
}

extern "C" fn nothing(_: i32) {}
