//! Locking without a thought for poison.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks `mutex`. No code of others runs under our locks, so a panic there would be a bug of ours that leaves the value
/// as it was before or after a single step: going on is better than losing every child of the process.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
