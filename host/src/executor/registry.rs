//! The executors of this process by number, so that who holds a task need not count a reference to its executor.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::Executor;
use crate::{process::lock, sys::per_process::PerProcess};

static EXECUTORS: PerProcess<Mutex<HashMap<u64, Weak<Executor>>>> = PerProcess::new(|_| Mutex::default());

/// Enters one; its number is not given twice.
pub(super) fn enter(executor: Weak<Executor>) -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Relaxed);
    lock(EXECUTORS.get()).insert(number, executor);
    number
}

/// The one with that number, as long as it has tasks or somebody holds it. A forked child finds none of its parent's.
pub(super) fn find(number: u64) -> Option<Arc<Executor>> {
    lock(EXECUTORS.get()).get(&number)?.upgrade()
}

pub(super) fn leave(number: u64) {
    lock(EXECUTORS.get()).remove(&number);
}
