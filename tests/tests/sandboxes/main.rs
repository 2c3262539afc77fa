//! Sandboxes and shortages: loophost under system call filters, limits, and whatever else its starter leaves it with.
//!
//! The promise is the same everywhere. What loophost starts ends with its own status and output, or loophost says why it
//! cannot and ends with 125. It never dies of a signal, never hangs, and leaves no process behind.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod io_uring;
mod limits;
mod promise;
mod sandbox;
mod signals;
mod streams;
mod system_calls;
