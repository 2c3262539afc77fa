//! `loophost run`, seen from outside.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod choices;
mod exit_statuses;
mod exporting;
mod failures;
mod forwarding;
mod inheritance;
mod init;
mod log;

/// The program that tells which signals it gets.
const WITNESS: &str = env!("CARGO_BIN_EXE_witness");
/// The program that tells which loop and watcher it was started with.
const CHOSEN: &str = env!("CARGO_BIN_EXE_chosen");
