//! Memory from mmap(2).

use std::{ffi::c_void, io, ptr};

/// A mapping, unmapped when it is dropped.
pub(super) struct Memory {
    start: *mut c_void,
    len: usize,
}

impl Memory {
    /// Zeroed memory that a forked child gets a copy of (`MAP_PRIVATE`) or shares (`MAP_SHARED`).
    pub(super) fn new(len: usize, kind: i32) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a fresh mapping, of which nobody else knows.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, access, kind | libc::MAP_ANONYMOUS, -1, 0) };
        if start == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(Self { start, len }) }
    }

    /// Makes access to the first bytes, whole pages, deadly.
    pub(super) fn guard(&mut self, len: usize) -> io::Result<()> {
        assert!(len <= self.len);
        // SAFETY: a part of the mapping, and `&mut` says that nobody uses it.
        match unsafe { libc::mprotect(self.start, len, libc::PROT_NONE) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    pub(super) fn start(&self) -> *mut c_void {
        self.start
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`, whole; whoever had its address was borrowing `self`.
        unsafe { libc::munmap(self.start, self.len) };
    }
}

// SAFETY: memory belongs to no thread.
unsafe impl Send for Memory {}
