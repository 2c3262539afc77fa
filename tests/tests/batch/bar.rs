//! The progress bar, on a terminal.

use std::{fs, path::Path, process::Command};

use loophost_tests::pty::Session;
use nix::sys::{
    signal::{Signal, kill},
    wait::WaitStatus,
};

use crate::{batch, expect_file, expect_gone, pid_in};

/// Waits for a file `$0` if the value is `wait`, and runs any other value in a shell.
const SCRIPT: &str =
    "if [ \"$1\" = wait ]; then until [ -e \"$0\" ]; do sleep 0.01; done; else eval \"$1\"; fi";

fn session(options: &[&str], file: &Path, values: &[&str]) -> Session {
    let mut command: Command = batch(options);
    command.env("TERM", "xterm").args(["sh", "-c", SCRIPT]).arg(file).args(["{}", ":::"]).args(values);
    Session::new(command)
}

fn code(session: &mut Session) -> i32 {
    match session.wait() {
        WaitStatus::Exited(_, code) => code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_bar_shows_how_far_it_is_and_goes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("go");
    let mut session = session(&["-j1"], &file, &["true", "exit 1", "wait", "echo last"]);
    session.expect("2/4 jobs");
    session.expect(", 1 failed");
    // It is drawn again and again, also when nothing happens.
    session.expect("2/4 jobs");
    fs::write(&file, "").unwrap();
    session.expect("last\r\n");
    session.expect("loophost: 1 of 4 jobs failed\r\n");
    assert_eq!(code(&mut session), 123);
    // The last that was done is to clear the bar's line.
    let screen = session.screen();
    let (_, end) = screen.rsplit_once("jobs failed").unwrap();
    let (_, after_bar) = end.rsplit_once("left").unwrap_or(("", end));
    assert!(!after_bar.contains("jobs"), "{screen:?}");
}

#[test]
fn there_is_no_rate_before_a_job_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("go");
    let mut session = session(&["-j1"], &file, &["wait", "exec sleep 600"]);
    session.expect("0/2 jobs");
    session.expect("0/2 jobs");
    assert!(!session.screen().contains("left"), "{:?}", session.screen());
    fs::write(&file, "").unwrap();
    session.expect(" left");
    kill(session.leader(), Signal::SIGTERM).unwrap();
    assert_eq!(code(&mut session), 128 + libc::SIGTERM);
}

#[test]
fn the_bar_spoils_no_output_that_lacks_the_end_of_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("go");
    for output in ["printf unfinished", "printf unfinished >&2"] {
        let mut session = session(&["-j1"], &file, &[output, "wait"]);
        session.expect("unfinished\r\n");
        session.expect("1/2 jobs");
        fs::write(&file, "").unwrap();
        assert_eq!(code(&mut session), 0);
        fs::remove_file(&file).unwrap();
    }
}

#[test]
fn there_is_no_bar_where_it_would_be_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ready");
    for option in ["--no-progress", "--json", "--ungroup"] {
        // Long enough for a bar to be drawn.
        let mut session = session(&[option, "-j1"], &file, &["sleep 0.5", "echo last"]);
        session.expect("last");
        assert_eq!(code(&mut session), 0);
        assert!(!session.screen().contains("jobs"), "{option}: {:?}", session.screen());
    }
}

#[test]
fn a_stopped_terminal_holds_up_no_signal() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let mut session = session(&["-j1"], &file, &["echo first", "echo $$ > \"$0\"; exec sleep 600"]);
    session.expect("1/2 jobs");
    let job = pid_in(&file);
    // ^S: the bar's next drawing waits.
    session.type_in("\x13");
    expect_file(&file);
    kill(session.leader(), Signal::SIGTERM).unwrap();
    assert_eq!(code(&mut session), 128 + libc::SIGTERM);
    expect_gone(job);
}
