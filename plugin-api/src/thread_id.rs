//! A number for each thread, never given twice (std's `ThreadId` costs several times as much to read).

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

thread_local! {
    static ID: Cell<u64> = const { Cell::new(0) };
}

/// This thread's number; never 0. Only numbers from the same copy of this crate can be compared.
#[inline]
pub(crate) fn current() -> u64 {
    match ID.get() {
        0 => assign(),
        id => id,
    }
}

#[cold]
fn assign() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = NEXT.fetch_add(1, Relaxed);
    ID.set(id);
    id
}
