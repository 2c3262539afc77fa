//! loophost as PID 1 of a container, and as a subreaper: orphans are adopted and reaped.

use std::{ffi::OsString, os::unix::process::CommandExt, process::Command};

use loophost_tests::{
    Started, binary, command, eventually, loophost, proc, require, run, skip, witness::Testimony,
};
use nix::{
    sys::{
        prctl::set_child_subreaper,
        signal::{Signal, kill},
    },
    unistd::Pid,
};

use crate::WITNESS;

/// Makes orphans that end at once and orphans that end later, waits until they are all gone, and ends with status 7.
/// A zombie that nobody reaps keeps its folder in `/proc`.
const MAKE_ORPHANS: &str = r#"
for _ in 1 2 3 4 5 6 7 8 9 10; do
    all="$all $(true & echo $!) $(sleep 0.2 >/dev/null & echo $!)"
done
for pid in $all; do
    while [ -d /proc/$pid ]; do sleep 0.01; done
done
exit 7
"#;

/// What stands before loophost's arguments to make it PID 1; `None` where that is not allowed.
fn as_pid_1() -> Option<Vec<OsString>> {
    let unshare = require("unshare")?;
    let with = |options: &[&str]| -> Vec<OsString> {
        let mut command = vec![unshare.clone().into()];
        command.extend(options.iter().map(Into::into));
        command.extend(["--pid", "--fork", "--kill-child", "--mount-proc", "--"].map(Into::into));
        command
    };
    let found = [with(&[]), with(&["--user", "--map-root-user"])].into_iter().find(|command| {
        let mut attempt = loophost_tests::command(&command[0]);
        attempt.args(&command[1..]).arg("true");
        run(attempt).status.success()
    });
    if found.is_none() {
        skip("a pid namespace is not permitted");
    }
    found
}

/// loophost as PID 1, with these arguments.
fn pid_1(args: &[OsString]) -> Option<Command> {
    let prefix = as_pid_1()?;
    let mut command = command(&prefix[0]);
    command.args(&prefix[1..]).arg(binary()).args(args);
    Some(command)
}

const WATCHERS: [&str; 5] = ["pidfd", "threaded", "safe", "fast", "multi-loop"];

/// `run --watcher WATCHER -- COMMAND…`
fn arguments(watcher: &str, command: impl IntoIterator<Item = impl Into<OsString>>) -> Vec<OsString> {
    let options = ["run", "--watcher", watcher, "--"].map(Into::into);
    options.into_iter().chain(command.into_iter().map(Into::into)).collect()
}

#[test]
fn pid_1_exits_as_the_program() {
    for watcher in WATCHERS {
        for (script, status) in [("echo $PPID; exit 3", 3), ("echo $PPID; kill -TERM $$", 143)] {
            let Some(command) = pid_1(&arguments(watcher, ["sh", "-c", script])) else { return };
            let ended = run(command);
            assert_eq!(ended.status.code(), Some(status), "{watcher} {script}: {}", ended.stderr);
            assert_eq!(ended.stdout, "1\n");
        }
    }
}

#[test]
fn pid_1_forwards_signals() {
    for watcher in WATCHERS {
        let testimony = Testimony::new();
        let args = arguments(watcher, testimony.command(WITNESS, &["TERM=3"]));
        let Some(command) = pid_1(&args) else { return };
        let started = Started::new(command);
        testimony.ready();
        // The program's pid in the testimony is that of the namespace; from here it is another one.
        let pid_1 = eventually("unshare's child", || Some(proc::children(started.pid()).first()?.pid));
        for signal in [Signal::SIGHUP, Signal::SIGTERM] {
            kill(pid_1, signal).unwrap();
            eventually("the signal", || {
                testimony.signals().contains(&format!("{signal} process")).then_some(())
            });
        }
        assert_eq!(started.wait().status.code(), Some(3));
        testimony.expect(&["SIGHUP process", "SIGTERM process"]);
    }
}

#[test]
fn pid_1_reaps_orphans() {
    for watcher in WATCHERS {
        let Some(command) = pid_1(&arguments(watcher, ["sh", "-c", MAKE_ORPHANS])) else { return };
        let ended = run(command);
        assert_eq!(ended.status.code(), Some(7), "{watcher}: {}", ended.stderr);
    }
}

#[test]
fn a_subreaper_reaps_orphans() {
    for watcher in WATCHERS {
        let mut command = loophost(arguments(watcher, ["sh", "-c", MAKE_ORPHANS]));
        // SAFETY: prctl is async-signal-safe.
        unsafe { command.pre_exec(|| Ok(set_child_subreaper(true)?)) };
        assert_eq!(run(command).status.code(), Some(7), "{watcher}");
    }
}

#[test]
fn a_subreaper_reaps_what_an_earlier_program_has_left() {
    // The shell's child becomes loophost's by the exec, and may be dead before loophost is there to see it.
    let script = r#"true & echo $!; exec "$@""#;
    let mut command = command("sh");
    command.args(["-c", script, "sh"]).arg(binary()).args(["run", "--", "sleep", "1000"]);
    // SAFETY: prctl is async-signal-safe.
    unsafe { command.pre_exec(|| Ok(set_child_subreaper(true)?)) };
    let started = Started::new(command);
    let left = Pid::from_raw(started.line("").parse().unwrap());
    eventually("the end of the zombie", || proc::stat(left).is_none().then_some(()));
    let only_child = || Some(proc::children(started.pid())).filter(|children| children.len() == 1);
    eventually("the program", only_child);
}
