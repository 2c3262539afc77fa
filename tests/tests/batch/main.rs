//! `loophost batch`, from outside.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod bar;
mod ending;
mod input;
mod jobs;
mod many;
mod output;
mod readers;
mod statuses;
mod unread;

use std::{
    fs,
    io::{self, Write},
    path::Path,
    process::Command,
    thread,
};

use loophost_tests::{Ended, Started, eventually, loophost, proc};
use nix::unistd::Pid;
use serde_json::Value;

/// `loophost batch ARGS…`.
fn batch(args: &[&str]) -> Command {
    let mut command = loophost(["batch"]);
    command.args(args);
    command
}

/// Starts a batch that gets this input by a pipe.
fn start(mut command: Command, input: impl Into<Vec<u8>>) -> Started {
    let (reader, mut writer) = io::pipe().unwrap();
    command.stdin(reader);
    let input = input.into();
    // A batch that ends early does not read everything.
    thread::spawn(move || writer.write_all(&input));
    Started::new(command)
}

/// Runs a batch to its end.
fn run(args: &[&str], input: &str) -> Ended {
    start(batch(args), input).wait()
}

/// The records of `--json`, by number.
fn records(stdout: &str) -> Vec<Value> {
    let mut records: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    records.sort_by_key(|record| record["seq"].as_u64());
    records
}

/// Waits for a pid that a job writes to a file, with `echo PID > FILE`.
fn pid_in(file: &Path) -> Pid {
    eventually("a job's pid", || {
        let text = fs::read_to_string(file).ok()?;
        text.strip_suffix('\n').map(|pid| Pid::from_raw(pid.parse().unwrap()))
    })
}

/// Waits until a process is gone, or a zombie whose parent does not care.
fn expect_gone(pid: Pid) {
    eventually("the end of a process", || proc::stat(pid).is_none_or(|stat| stat.state == 'Z').then_some(()));
}

/// Waits until a file is there.
fn expect_file(file: &Path) {
    eventually("a file that a job makes", || file.exists().then_some(()));
}

/// Waits until a process has a file open.
fn expect_open(pid: Pid, file: &Path) {
    let is_it =
        |link: io::Result<fs::DirEntry>| fs::read_link(link.unwrap().path()).is_ok_and(|to| to == file);
    eventually("an open file", || fs::read_dir(format!("/proc/{pid}/fd")).ok()?.any(is_it).then_some(()));
}
