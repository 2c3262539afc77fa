//! The loop's clock.

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`: the same origin for every loop of a process, whichever file it came from.
pub(crate) fn now() -> u64 {
    // clock_gettime(2) with CLOCK_MONOTONIC cannot fail on any system that this builds on.
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("CLOCK_MONOTONIC exists");
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}
