//! Signals by mask: blocked in every thread and read from a signalfd.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use super::{check, name};
use crate::{
    Error,
    process::SignalSet,
    sys::{signal_set, thread},
};

/// What [`init`] was given.
static RESERVED: AtomicU64 = AtomicU64::new(0);

/// The reserved signals.
pub(super) fn reserved() -> SignalSet {
    SignalSet::from_bits(RESERVED.load(Relaxed))
}

/// Reserves signals, see [`init_mask`](super::init_mask).
pub(super) fn init(signals: &[i32]) -> Result<(), Error> {
    let mut set = reserved();
    for &signum in signals {
        check(signum)?;
        if matches!(signum, libc::SIGTRAP | libc::SIGABRT | libc::SIGSYS) {
            return Err(Error::invalid_argument(format!(
                "{} cannot be reserved: the kernel sends it to the thread at fault, blocked or not",
                name(signum)
            )));
        }
        set = set.with(signum);
    }
    // Another thread would have the signals unblocked, and get them instead of us.
    match thread::count() {
        Ok(1) => {}
        Ok(count) => {
            return Err(Error::invalid_argument(format!(
                "signals must be reserved before the first thread is made; there are {count} threads"
            )));
        }
        // Without /proc nobody can tell.
        Err(error) => tracing::debug!("counting the threads of this process: {error}"),
    }
    signal_set::block(set).map_err(|error: io::Error| Error::os(&error, "blocking the reserved signals"))?;
    RESERVED.store(set.bits(), Relaxed);
    Ok(())
}
