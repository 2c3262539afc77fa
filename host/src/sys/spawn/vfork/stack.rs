//! Stacks for children to run on until they execute their program.

use std::{ffi::c_void, io, mem::ManuallyDrop, ops::Deref, sync::Mutex};

use super::{memory::Memory, report::Report};
use crate::{process::lock, sys::per_process::PerProcess};

/// Ten times what the child needs without optimisation. Below it lies a page that nobody may touch.
const SIZE: usize = 64 * 1024;

/// How many are kept: as many spawns can run at a time without making new ones.
const KEPT: usize = 16;

/// A forked child must not use its parent's: they share the reports.
static FREE: PerProcess<Mutex<Vec<Stack>>> = PerProcess::new(|_| Mutex::default());

/// A stack, and a place for the report of whoever runs on it.
pub(super) struct Stack {
    memory: Memory,
    guard: usize,
    report: Memory,
}

impl Stack {
    /// One that nobody uses.
    pub(super) fn take() -> io::Result<Lent> {
        let free = lock(FREE.get()).pop();
        free.map_or_else(Self::new, Ok).map(|stack| Lent(ManuallyDrop::new(stack)))
    }

    fn new() -> io::Result<Self> {
        // SAFETY: sysconf only reads.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let mut memory = Memory::new(page + SIZE, libc::MAP_PRIVATE | libc::MAP_STACK | libc::MAP_NORESERVE)?;
        memory.guard(page)?;
        // Zeroes are an empty report.
        let report = Memory::new(size_of::<Report>(), libc::MAP_SHARED)?;
        Ok(Self { memory, guard: page, report })
    }

    /// The lowest address.
    pub(super) fn start(&self) -> *mut c_void {
        self.memory.start().wrapping_byte_add(self.guard)
    }

    pub(super) fn size(&self) -> usize {
        self.memory.len() - self.guard
    }

    pub(super) fn report(&self) -> &Report {
        // SAFETY: a mapping of its size, aligned to a page, zeroed by the kernel, which is a valid report; all access is
        // atomic.
        unsafe { &*self.report.start().cast() }
    }
}

/// A stack in use; it goes back when this is dropped.
pub(super) struct Lent(ManuallyDrop<Stack>);

impl Deref for Lent {
    type Target = Stack;

    fn deref(&self) -> &Stack {
        &self.0
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // SAFETY: taken once, here.
        let stack = unsafe { ManuallyDrop::take(&mut self.0) };
        let mut free = lock(FREE.get());
        if free.len() < KEPT {
            free.push(stack);
        }
    }
}
