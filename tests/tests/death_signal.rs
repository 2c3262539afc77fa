//! What becomes of the children when loophost itself is killed.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, path::Path, process::Command};

use loophost_tests::{Started, eventually, loophost};
use nix::sys::signal::Signal;

/// Whether a process is there and is no zombie.
fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start().to_owned();
    !state.is_empty() && !state.starts_with(['Z', 'X'])
}

/// Starts loophost with a program that tells its pid, kills loophost, and gives the pid.
fn killed(mut command: Command, told: &Path) -> String {
    command.env("TOLD", told);
    let started = Started::new(command);
    let pid = || fs::read_to_string(told).ok().filter(|text| text.ends_with('\n'));
    let pid = eventually("the program's pid", pid);
    started.signal(Signal::SIGKILL);
    pid.trim().to_owned()
}

/// A program that tells its pid and then sleeps under the same one.
const PROGRAM: [&str; 3] =
    ["sh", "-c", "echo $$ > \"$TOLD.new\"; mv \"$TOLD.new\" \"$TOLD\"; exec sleep 600"];

#[test]
fn a_program_that_is_meant_to_dies_with_loophost() {
    let folder = tempfile::tempdir().unwrap();
    for signal in ["KILL", "sigterm", "15"] {
        for watcher in ["pidfd", "threaded"] {
            let told = folder.path().join(format!("{signal}-{watcher}"));
            let args = ["run", "--watcher", watcher, "--death-signal", signal, "--"];
            let pid = killed(loophost(args.iter().chain(&PROGRAM)), &told);
            eventually("the end of the program", || (!lives(&pid)).then_some(()));
        }
    }
}

#[test]
fn without_a_death_signal_it_lives_on() {
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("told");
    let mut command = loophost(["run", "--"].iter().chain(&PROGRAM));
    command.env("TOLD", &told);
    let started = Started::new(command);
    eventually("the program's pid", || told.exists().then_some(()));
    let pid = fs::read_to_string(&told).unwrap().trim().to_owned();
    started.signal(Signal::SIGKILL);
    started.wait();
    assert!(lives(&pid));
    Command::new("kill").args(["-9", &pid]).status().unwrap();
    eventually("the end of the program", || (!lives(&pid)).then_some(()));
}

#[test]
fn jobs_of_a_batch_die_with_loophost() {
    let folder = tempfile::tempdir().unwrap();
    for watcher in ["auto", "pidfd", "threaded"] {
        let told = folder.path().join(watcher);
        let mut args = vec!["batch", "-j2", "--watcher", watcher];
        args.push("--");
        args.extend(PROGRAM);
        args.extend([":::", "x"]);
        let pid = killed(loophost(args), &told);
        eventually("the end of the job", || (!lives(&pid)).then_some(()));
    }
}

#[test]
fn what_is_no_signal_is_refused() {
    for wrong in ["0", "65", "NOPE", ""] {
        let output = loophost(["run", "--death-signal", wrong, "--", "true"]).output().unwrap();
        assert_eq!(output.status.code(), Some(125), "{wrong}");
    }
}
