//! Where values come from, and what becomes of them.

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use loophost_tests::{Ended, Started, binary, command, eventually, run as run_command};
use nix::{sys::signal::Signal, sys::stat::Mode, unistd::mkfifo};

use crate::{batch, expect_open, pid_in, records, run};

#[test]
fn values_come_from_standard_input_a_file_or_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values");
    fs::write(&file, "a\n\nb c\nlast").unwrap();
    let file = file.to_str().unwrap();
    let sorted = |ended: Ended| {
        assert_eq!(ended.code(), 0, "{}", ended.stderr);
        ended.stdout.lines().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let expected = ["<a>", "<b c>", "<last>"].map(str::to_owned).into();
    assert_eq!(sorted(run(&["printf", "<%s>\\n"], "a\n\nb c\nlast")), expected);
    assert_eq!(sorted(run(&["-0", "printf", "<%s>\\n"], "a\0b c\0last\0")), expected);
    assert_eq!(sorted(run(&["-a", file, "printf", "<%s>\\n"], "")), expected);
    assert_eq!(sorted(run(&["printf", "<%s>\\n", ":::", "a", "b c", "last"], "ignored\n")), expected);
    assert_eq!(sorted(run(&["true"], "")), BTreeSet::new());
    assert_eq!(sorted(run(&["true", ":::"], "")), BTreeSet::new());
    assert_eq!(run(&["-a", file, "true", ":::", "x"], "").code(), 125);
}

#[test]
fn an_input_that_cannot_be_read_is_named() {
    for wrong in ["/nonexistent", "/etc"] {
        let ended = run(&["-a", wrong, "true"], "");
        assert_eq!(ended.code(), 125);
        assert!(ended.stderr.contains(wrong), "{}", ended.stderr);
    }
    let mut folder = batch(&["true"]);
    folder.stdin(fs::File::open("/etc").unwrap());
    let ended = run_command(folder);
    assert_eq!(ended.code(), 125);
    assert!(ended.stderr.contains("standard input"), "{}", ended.stderr);
}

#[test]
fn places_are_filled_and_no_shell_looks_at_the_value() {
    let ended = run(&["-j1", "printf", "[%s]", "{#}", "{}.x", ":::", "a b", "$(id)", "*"], "");
    assert_eq!(ended.stdout, "[1][a b.x][2][$(id).x][3][*.x]");
    assert_eq!(run(&["-j1", "{}", ":::", "true", "false"], "").code(), 123);
    let replaced = run(&["-j1", "-I", "@", "printf", "[%s]", "{}", "@@", ":::", "a", "b"], "");
    assert_eq!(replaced.stdout, "[{}][aa][{}][bb]");
    assert_eq!(run(&["-j1", "--replace", "%", "echo", "x", ":::", "a", "b"], "").stdout, "x\nx\n");
    assert_eq!(run(&["-I", "", "echo", ":::", "a"], "").code(), 125);
}

#[test]
fn no_more_input_is_read_than_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let ready = folder.path().join("ready");
    let mut command = batch(&["-j1", "sh", "-c", "echo $$ > $0; exec sleep 600"]);
    let (reader, mut values) = io::pipe().unwrap();
    command.arg(&ready).stdin(reader);
    let started = Started::new(command);
    let taken = Arc::new(AtomicUsize::new(0));
    let count = taken.clone();
    let feeder = thread::spawn(move || {
        for n in 0..1_000_000 {
            let line = format!("{n}\n");
            if values.write_all(line.as_bytes()).is_err() {
                return;
            }
            count.fetch_add(line.len(), SeqCst);
        }
    });
    pid_in(&ready);
    started.signal(Signal::SIGTERM);
    started.wait();
    feeder.join().unwrap();
    // The pipe and the buffer, and not all of 7 MB.
    assert!(taken.load(SeqCst) < 1_000_000);
}

#[test]
fn a_child_of_standard_input_reads_nothing_of_it() {
    assert_eq!(run(&["-j1", "sh", "-c", "cat; echo $0"], "a\nb\nc\n").stdout, "a\nb\nc\n");
}

#[test]
fn closed_streams_do_no_harm() {
    for (script, why) in [
        ("exec \"$0\" batch -j2 true ::: a b <&- >&- 2>&-", "with values"),
        ("exec \"$0\" batch -j2 false <&- >&- 2>&-", "no input, no jobs"),
    ] {
        let mut shell = command("sh");
        shell.args(["-c", script]).arg(binary());
        assert_eq!(run_command(shell).code(), 0, "{why}");
    }
}

#[test]
fn endless_input_can_be_interrupted() {
    for signum in [Signal::SIGTERM, Signal::SIGINT] {
        let started = Started::new(batch(&["-0", "-a", "/dev/zero", "echo"]));
        expect_open(started.pid(), Path::new("/dev/zero"));
        started.signal(signum);
        assert_eq!(started.wait().code(), 128 + signum as i32);
    }
}

#[test]
fn very_many_jobs_that_cannot_be_started_can_be_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values");
    fs::write(&file, "missing\n".repeat(3_000_000)).unwrap();
    let mut command = batch(&["-a"]);
    command.arg(&file).arg("/nonexistent/{}");
    let started = Started::new(command);
    eventually("a failed job", || started.stderr().contains("job 1 ").then_some(()));
    started.signal(Signal::SIGTERM);
    assert_eq!(started.wait().code(), 128 + libc::SIGTERM);
}

/// What one of them was told of may be gone when it reads.
#[test]
fn several_batches_may_read_the_same_pipe() {
    let (reader, mut values) = io::pipe().unwrap();
    let start = |_| {
        let mut command = batch(&["-a", "-", "echo"]);
        command.stdin(reader.try_clone().unwrap());
        Started::new(command)
    };
    let batches: Vec<_> = (0..4).map(start).collect();
    for n in 0..20 {
        // A line in one call, or two may share it.
        values.write_all(format!("{n}\n").as_bytes()).unwrap();
    }
    let printed = || batches.iter().map(|batch| batch.stdout().lines().count()).sum::<usize>();
    eventually("all values", || (printed() == 20).then_some(()));
    for batch in batches {
        batch.signal(Signal::SIGTERM);
        assert_eq!(batch.wait().code(), 143);
    }
}

#[test]
fn a_fifo_is_waited_for_and_the_waiting_can_be_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().canonicalize().unwrap().join("fifo");
    mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let start = || {
        let mut command = batch(&["-a"]);
        command.arg(&fifo).arg("echo");
        let started = Started::new(command);
        expect_open(started.pid(), &fifo);
        started
    };
    for signum in [Signal::SIGTERM, Signal::SIGHUP] {
        let started = start();
        started.signal(signum);
        assert_eq!(started.wait().code(), 128 + signum as i32);
    }
    let started = start();
    // This waits for the reader, which is there.
    let mut writer = OpenOptions::new().write(true).open(&fifo).unwrap();
    writer.write_all(b"a\n").unwrap();
    started.line("a");
    writer.write_all(b"b\n").unwrap();
    drop(writer);
    let ended = started.wait();
    assert_eq!((ended.code(), &*ended.stdout), (0, "a\nb\n"));
}

#[test]
fn a_value_that_is_too_long_is_a_failed_job() {
    // What Linux takes is one byte less than MAX_ARG_STRLEN.
    let (longest, long) = ("x".repeat(131_071), "y".repeat(131_072));
    let longer = "z".repeat(1_000_000);
    let input = format!("a\n{longest}\n{long}\n{longer}\nb\n");
    let length = ["--json", "-j1", "sh", "-c", "echo ${#0} >&2"];
    let ended = run(&length, &input);
    assert_eq!(ended.code(), 123, "{}", ended.stderr);
    let records = records(&ended.stdout);
    let returncodes: Vec<_> = records.iter().map(|record| record["returncode"].as_i64().unwrap()).collect();
    assert_eq!(returncodes, [0, 0, 126, 126, 0], "{}", ended.stderr);
    let lines: Vec<_> = ended.stderr.lines().filter(|line| !line.starts_with("loophost: ")).collect();
    assert_eq!(lines, ["1", "131071", "1"]);
    for record in &records[2..4] {
        assert!(record["error"].as_str().unwrap().contains("131071 bytes"), "{record}");
        assert!(record["value"].as_str().unwrap().ends_with('…') && record["pid"].is_null());
    }
    assert!(ended.stderr.contains("loophost: job 3 (\"yyyy"), "{}", ended.stderr);
    assert!(ended.stderr.len() < 2_000, "values are told in short");
}

#[test]
fn a_value_that_is_too_long_for_its_place_is_a_failed_job() {
    let input = format!("a\n{}\nb\n", "x".repeat(131_071));
    let ended = run(&["--json", "-j1", "echo", "<{}>"], &input);
    assert_eq!(ended.code(), 123, "{}", ended.stderr);
    let records = records(&ended.stdout);
    let returncodes: Vec<_> = records.iter().map(|record| record["returncode"].as_i64().unwrap()).collect();
    assert_eq!(returncodes, [0, 126, 0]);
    assert!(ended.stderr.contains("read the value from a file"), "{}", ended.stderr);
    assert!(ended.stderr.len() < 2_000);
}
