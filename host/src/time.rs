//! Time: futures that wait, on the timers of the loop that polls them.
//!
//! # Panics
//! All of them panic when they are polled where no loop runs.

mod interval;
mod sleep;
mod timeout;

pub use interval::{Interval, interval};
pub use sleep::{Sleep, sleep, sleep_until};
pub use timeout::{TimedOut, Timeout, timeout};
