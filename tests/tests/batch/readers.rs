//! Whoever reads what a batch writes may be slow, or gone.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    process::Stdio,
    thread,
};

use loophost_tests::{Started, eventually, proc};
use nix::sys::signal::Signal;

use crate::{batch, expect_gone, pid_in, unread::Unread};

#[test]
fn a_reader_who_is_slow_holds_up_neither_timeouts_nor_signals() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let unread = Unread::new();
    let script =
        "if [ $1 = large ]; then head -c 1000000 /dev/zero; else echo $$ > \"$0\"; exec sleep 600; fi";
    let mut command = unread.as_output(">", ["batch", "-j2", "--timeout", "10m", "sh", "-c", script]);
    command.arg(&file);
    let (reader, mut values) = io::pipe().unwrap();
    command.stdin(reader);
    let started = Started::new(command);
    values.write_all(b"large\n").unwrap();
    unread.expect_full();
    values.write_all(b"small\n").unwrap();
    let job = pid_in(&file);
    started.signal(Signal::SIGTERM);
    assert_eq!(started.wait().code(), 128 + libc::SIGTERM);
    expect_gone(job);
}

#[test]
fn a_job_times_out_while_a_reader_is_slow() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let unread = Unread::new();
    unread.fill();
    // The first one's output cannot be written. The second one prints nothing, and its end is noticed all the same.
    let script = "case $1 in 1) echo output;; 3) echo $$ > \"$0\"; exec sleep 600;; esac";
    let mut command = unread.as_output(">", ["batch", "-j1", "--timeout", "300ms", "sh", "-c", script]);
    // Many third ones: a busy machine may take longer than that to start one.
    command.arg(&file).args(["{}", ":::", "1", "2"]).args(["3"; 100]);
    let started = Started::new(command);
    expect_gone(pid_in(&file));
    started.signal(Signal::SIGTERM);
    assert_eq!(started.wait().code(), 128 + libc::SIGTERM);
}

#[test]
fn a_reader_who_is_slow_stops_the_starting_of_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("starts");
    let values = folder.path().join("values");
    fs::write(&values, "value\n".repeat(5_000)).unwrap();
    let unread = Unread::new();
    unread.fill();
    let mut command = unread.as_output(">", ["batch", "-j4", "-a"]);
    command.arg(&values).args(["sh", "-c", "echo >> \"$0\"; echo $1"]).arg(&file);
    let started = Started::new(command);
    let starts = || fs::read(&file).map_or(0, |text| text.len());
    eventually("many jobs and then none", || {
        (starts() >= 250 && proc::children(started.pid()).is_empty()).then_some(())
    });
    started.signal(Signal::SIGTERM);
    assert_eq!(started.wait().code(), 128 + libc::SIGTERM);
    assert!(starts() < 1_000, "{}", starts());
}

#[test]
fn standard_error_that_nobody_reads_holds_up_no_signal() {
    for log in ["warn", "trace"] {
        let unread = Unread::new();
        unread.fill();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let script = "echo $$ > \"$0\"; exec sleep 600";
        let mut command = unread.as_output("2>", ["--log", log, "batch", "-j2", "{}", "-c", script]);
        command.arg(&file).args([":::", "sh"]).args(["/nonexistent"; 1000]);
        let started = Started::new(command);
        pid_in(&file);
        started.signal(Signal::SIGTERM);
        assert_eq!(started.wait().code(), 128 + libc::SIGTERM, "{log}");
    }
}

#[test]
fn a_reader_who_has_had_enough_ends_the_batch() {
    let (reader, mut values) = io::pipe().unwrap();
    let mut child =
        batch(&["-j2", "echo"]).stdin(reader).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let feeder = thread::spawn(move || while values.write_all(b"value\n").is_ok() {});
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(128 + libc::SIGPIPE));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "quietly");
    feeder.join().unwrap();
}
