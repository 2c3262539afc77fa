//! What loophost does, compared with what CPython's asyncio did: the same scenarios, and the traces that
//! `tests/differential/record.py` has made. No Python is needed here.
//!
//! A policy belongs to its process and a default policy treats the main thread in its own way, so each scenario runs in
//! the main thread of a child: this program again, with `--scenario NAME PROFILE`. Where loophost is meant to differ,
//! `deviations.toml` says what it does instead, and why.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod child_watchers;
mod comparison;
mod descriptors;
mod deviations;
mod event_loop;
mod exceptions;
mod policy;
mod processes;
mod recorded;
mod scenarios;
mod signals;
mod stage;
mod trace;

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--scenario", name, profile] => {
            scenarios::run_here(name, profile.parse().unwrap());
            ExitCode::SUCCESS
        }
        _ => comparison::run(&arguments),
    }
}
