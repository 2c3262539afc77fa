//! `loophost batch`, from outside.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use loophost_tests::{binary, cdylib, loophost};
use serde_json::Value;

/// How long something may take that should happen at once.
const PATIENCE: Duration = Duration::from_secs(120);

fn batch(args: &[&str]) -> Command {
    let mut command = loophost(["batch"]);
    command.args(args);
    command
}

/// Runs a batch to its end.
fn run(args: &[&str], input: &[u8]) -> Output {
    let mut child = Running(
        batch(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap(),
    );
    let mut stdin = child.0.stdin.take().unwrap();
    let input = input.to_vec();
    let feeder = thread::spawn(move || stdin.write_all(&input));
    let mut stderr = child.0.stderr.take().unwrap();
    let errors = thread::spawn(move || {
        let mut text = Vec::new();
        stderr.read_to_end(&mut text).map(|_| text)
    });
    let mut stdout = Vec::new();
    child.0.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
    let status = child.0.wait().unwrap();
    // A batch that ended early has not read everything.
    let _ = feeder.join().unwrap();
    Output { status, stdout, stderr: errors.join().unwrap().unwrap() }
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("died of signal {:?}", output.status.signal()))
}

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "{what} has not come");
        thread::sleep(Duration::from_millis(5));
    }
}

fn signal(pid: u32, signum: i32) {
    // SAFETY: a signal to a child that has not been waited for.
    assert_eq!(unsafe { libc::kill(pid as i32, signum) }, 0);
}

/// Whether a process is there and is no zombie.
fn lives(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| !rest.trim_start().is_empty() && !rest.trim_start().starts_with('Z'))
}

fn read_pid(path: &Path) -> Option<i32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[test]
fn values_come_from_standard_input_a_file_or_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values");
    fs::write(&file, "a\n\nb c\nlast").unwrap();
    let file = file.to_str().unwrap();
    let sorted = |output: &Output| {
        assert_eq!(status(output), 0, "{}", stderr(output));
        stdout(output).lines().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let expected = ["<a>", "<b c>", "<last>"].map(str::to_owned).into();
    assert_eq!(sorted(&run(&["printf", "<%s>\\n"], b"a\n\nb c\nlast")), expected);
    assert_eq!(sorted(&run(&["-0", "printf", "<%s>\\n"], b"a\0b c\0last\0")), expected);
    assert_eq!(sorted(&run(&["-a", file, "printf", "<%s>\\n"], b"")), expected);
    assert_eq!(sorted(&run(&["printf", "<%s>\\n", ":::", "a", "b c", "last"], b"ignored\n")), expected);
    assert_eq!(sorted(&run(&["true"], b"")), BTreeSet::new());
    assert_eq!(sorted(&run(&["true", ":::"], b"")), BTreeSet::new());
    assert_eq!(status(&run(&["-a", file, "true", ":::", "x"], b"")), 125);
    let missing = run(&["-a", "/nonexistent", "true"], b"");
    assert_eq!(status(&missing), 125);
    assert!(stderr(&missing).contains("/nonexistent"), "{}", stderr(&missing));
}

#[test]
fn places_are_filled_and_no_shell_looks_at_the_value() {
    let output = run(&["-j1", "printf", "[%s]", "{#}", "{}.x", ":::", "a b", "$(id)", "*"], b"");
    assert_eq!(stdout(&output), "[1][a b.x][2][$(id).x][3][*.x]");
    let program = run(&["-j1", "{}", ":::", "true", "false"], b"");
    assert_eq!(status(&program), 123);
}

#[test]
fn outputs_are_never_mixed_also_when_they_are_large() {
    // Each job prints a line, waits for the others to have done so too, and prints much more: in memory and spilled.
    let script =
        "for i in 1 2 3 4 5 6 7 8; do echo $1; head -c $2 /dev/zero | tr '\\0' $1; echo; echo e$1 >&2; done";
    for size in ["10", "300000"] {
        let output = run(&["-j8", "sh", "-c", script, "sh", "{}", size, ":::", "a", "b", "c", "d"], b"");
        assert_eq!(status(&output), 0);
        let lines: Vec<_> = stdout(&output).lines().collect();
        assert_eq!(lines.len(), 4 * 16);
        for job in lines.chunks(16) {
            let name = job[0];
            assert!(job.iter().step_by(2).all(|line| *line == name), "another job's line in {name}'s");
            let long = name.repeat(size.parse().unwrap());
            assert!(job.iter().skip(1).step_by(2).all(|line| *line == long));
        }
        let errors: Vec<_> = stderr(&output).lines().collect();
        assert!(errors.chunks(8).all(|job| job.iter().all(|line| *line == job[0])), "{errors:?}");
    }
}

#[test]
fn keep_order_writes_in_the_order_of_the_values() {
    let values: Vec<_> = (0..40).map(|n| n.to_string()).collect();
    let mut args = vec!["-k", "-j8", "sh", "-c", "[ $(($1 % 8)) = 0 ] && sleep 0.1; echo $1", "sh", ":::"];
    args.extend(values.iter().map(String::as_str));
    assert_eq!(stdout(&run(&args, b"")).lines().collect::<Vec<_>>(), values);
}

#[test]
fn json_has_an_object_for_each_job() {
    let output = run(&["--json", "sh", "-c", "echo out; echo err >&2; exit $1", "sh", ":::", "0", "3"], b"");
    assert_eq!(status(&output), 123);
    let mut records: Vec<Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    records.sort_by_key(|record| record["seq"].as_u64());
    assert_eq!(records.len(), 2);
    for (record, (value, returncode)) in records.iter().zip([("0", 0), ("3", 3)]) {
        assert_eq!(
            (record["value"].as_str(), record["returncode"].as_i64()),
            (Some(value), Some(returncode))
        );
        assert!(record["pid"].as_u64() > Some(1));
        assert!(record["start"].as_f64() > Some(1.7e9));
        assert!(record["duration"].as_f64() > Some(0.0) && record["cpu"].as_f64() > Some(0.0), "{record}");
    }
    assert_eq!(stderr(&output).matches("out").count(), 2, "what jobs print is not lost");
    let missing = run(&["--json", "{}", ":::", "/nonexistent"], b"");
    let record: Value = serde_json::from_str(stdout(&missing).trim()).unwrap();
    assert_eq!((record["returncode"].as_i64(), &record["pid"]), (Some(127), &Value::Null));
    assert!(record["error"].as_str().is_some_and(|error| error.contains("/nonexistent")));
}

#[test]
fn the_statuses() {
    let table: [(&[&str], i32); 12] = [
        (&["true", ":::", "a"], 0),
        (&["false", ":::", "a"], 123),
        (&["sh", "-c", "kill -9 $$", ":::", "a"], 123),
        (&["--halt", "soon", "-j1", "false", ":::", "a", "b"], 124),
        (&["--halt", "now,fail=2", "-j1", "false", ":::", "a", "b", "c"], 124),
        (&["--halt", "now,fail=2", "false", ":::", "a"], 123),
        (&["/nonexistent/program", ":::", "a"], 127),
        (&["/etc", ":::", "a"], 126),
        (&["--policy", "nonexistent", "true", ":::", "a"], 125),
        (&["--halt", "later", "true", ":::", "a"], 125),
        (&["-j0", "true", ":::", "a"], 125),
        (&[], 125),
    ];
    for (args, expected) in table {
        assert_eq!(status(&run(args, b"")), expected, "{args:?}");
    }
}

#[test]
fn halt_stops_what_was_not_started_and_now_ends_what_runs() {
    let soon =
        run(&["--halt", "soon", "-j1", "sh", "-c", "echo $1; exit 1", "sh", ":::", "1", "2", "3"], b"");
    assert_eq!((status(&soon), stdout(&soon)), (124, "1\n"));
    let now =
        run(&["--halt", "now", "-j4", "sh", "-c", "sleep $1; exit 1", "sh", ":::", "0", "600", "600"], b"");
    assert_eq!(status(&now), 124);
}

#[test]
fn a_job_that_takes_too_long_is_ended() {
    let output = run(&["--json", "--timeout", "100ms", "-j2", "sleep", ":::", "0", "600"], b"");
    assert_eq!(status(&output), 123);
    let timed_out = stdout(&output).lines().filter(|line| line.contains("\"timed_out\":true"));
    assert_eq!(timed_out.count(), 1);
}

#[test]
fn a_signal_ends_the_jobs_and_what_they_have_started() {
    for signum in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT] {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let script = "sleep 600 & echo $! > $1.grandchild; echo $$ > $1.pid; wait";
        let mut running = Running(
            batch(&["-j2", "sh", "-c", script, "sh", ":::"])
                .args([file("a"), file("b")])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        );
        until("both jobs", || read_pid(&file("a.pid")).is_some() && read_pid(&file("b.pid")).is_some());
        signal(running.0.id(), signum);
        let status = running.0.wait().unwrap();
        assert_eq!(status.code(), Some(128 + signum));
        for name in ["a.pid", "b.pid", "a.grandchild", "b.grandchild"] {
            let pid = read_pid(&file(name)).unwrap();
            until("the end of a job", || !lives(pid));
        }
    }
}

#[test]
fn the_second_signal_kills() {
    let folder = tempfile::tempdir().unwrap();
    let ready = folder.path().join("pid");
    let script = "trap '' TERM; echo $$ > $1; while :; do sleep 1; done";
    let mut running =
        Running(batch(&["sh", "-c", script, "sh", ":::"]).arg(&ready).stderr(Stdio::null()).spawn().unwrap());
    until("the job", || read_pid(&ready).is_some());
    let job = read_pid(&ready).unwrap();
    signal(running.0.id(), libc::SIGTERM);
    // The batch waits for its job, which does not mind.
    until("the signal taken", || {
        let status = fs::read_to_string(format!("/proc/{}/status", running.0.id())).unwrap_or_default();
        let pending = |line: &&str| line.starts_with("ShdPnd:") && line.ends_with("0000");
        status.lines().any(|line| pending(&line))
    });
    assert!(lives(job));
    signal(running.0.id(), libc::SIGTERM);
    assert_eq!(running.0.wait().unwrap().code(), Some(128 + libc::SIGTERM));
    until("the end of the job", || !lives(job));
}

#[test]
fn a_reader_who_has_had_enough_ends_the_batch() {
    let mut running = Running(
        batch(&["-j2", "echo"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut stdin = running.0.stdin.take().unwrap();
    let feeder = thread::spawn(move || while stdin.write_all(b"value\n").is_ok() {});
    let mut stdout = BufReader::new(running.0.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    drop(stdout);
    assert_eq!(running.0.wait().unwrap().code(), Some(128 + libc::SIGPIPE));
    feeder.join().unwrap();
    let mut errors = String::new();
    running.0.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(errors, "", "quietly");
}

#[test]
fn no_more_input_is_read_than_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let ready = folder.path().join("ready");
    let mut running = Running(
        batch(&["-j1", "sh", "-c", "echo $$ > $0; exec sleep 600"])
            .arg(&ready)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let taken = Arc::new(AtomicUsize::new(0));
    let (mut stdin, count) = (running.0.stdin.take().unwrap(), taken.clone());
    let feeder = thread::spawn(move || {
        for n in 0..1_000_000 {
            let line = format!("{n}\n");
            if stdin.write_all(line.as_bytes()).is_err() {
                return;
            }
            count.fetch_add(line.len(), SeqCst);
        }
    });
    until("the first job", || read_pid(&ready).is_some());
    // The pipe and the buffer, and not all of 7 MB.
    assert!(taken.load(SeqCst) < 1_000_000);
    signal(running.0.id(), libc::SIGTERM);
    running.0.wait().unwrap();
    feeder.join().unwrap();
}

#[test]
fn a_child_of_standard_input_reads_nothing_of_it() {
    let output = run(&["-j1", "sh", "-c", "cat; echo $0"], b"a\nb\nc\n");
    assert_eq!(stdout(&output), "a\nb\nc\n");
}

#[test]
fn closed_streams_do_no_harm() {
    let script = "exec \"$0\" batch -j2 true ::: a b <&- >&- 2>&-";
    let status = Command::new("sh").args(["-c", script]).arg(binary()).status().unwrap();
    assert_eq!(status.code(), Some(0));
    let script = "exec \"$0\" batch -j2 false <&- >&- 2>&-";
    let status = Command::new("sh").args(["-c", script]).arg(binary()).status().unwrap();
    assert_eq!(status.code(), Some(0), "no input, no jobs");
}

#[test]
fn few_descriptors_mean_fewer_jobs_at_a_time() {
    let values: Vec<_> = (0..100).map(|n| n.to_string()).collect();
    let mut command = batch(&["-j50", "echo", ":::"]);
    command.args(&values).stdout(Stdio::piped()).stderr(Stdio::null());
    // SAFETY: setrlimit is async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            let limit = libc::rlimit { rlim_cur: 40, rlim_max: 40 };
            match libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        });
    }
    let output = command.output().unwrap();
    assert_eq!(status(&output), 0);
    assert_eq!(stdout(&output).lines().collect::<BTreeSet<_>>().len(), 100);
}

#[test]
fn an_output_that_cannot_be_kept_is_an_error() {
    let output = batch(&["-j1", "sh", "-c", "head -c 1000000 /dev/zero", ":::", "a"])
        .env("TMPDIR", "/nonexistent")
        .output()
        .unwrap();
    assert_eq!(status(&output), 125);
    assert!(stderr(&output).contains("keeping the output of job 1"), "{}", stderr(&output));
}

#[test]
fn a_full_disk_under_a_large_output_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    // A disk of a few pages, in a mount namespace of its own.
    let script = "mount -t tmpfs -o size=128k tmpfs \"$1\" || exit 77; \
                  TMPDIR=$1 exec \"$0\" batch -j1 sh -c 'head -c 1000000 /dev/zero' ::: a";
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .arg(binary())
        .arg(folder.path())
        .output();
    match output {
        Ok(output) if output.status.code() == Some(125) => {
            assert!(stderr(&output).contains("keeping the output of job 1"), "{}", stderr(&output));
            assert!(stderr(&output).contains("No space left"), "{}", stderr(&output));
        }
        output => {
            // Only somebody without the right to mount may skip this.
            let allowed = Command::new("unshare").args(["--mount", "true"]).status();
            let allowed = allowed.is_ok_and(|status| status.success());
            assert!(!allowed, "{output:?}");
            println!("skipped: no mount namespaces here");
        }
    }
}

/// A static program that fails for every seventh value, or a script where there is no compiler.
fn seventh_fails() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap().keep();
        let (source, program) = (folder.join("tiny.c"), folder.join("tiny"));
        let code = "#include <stdlib.h>\n#include <stdio.h>\n\
                    int main(int c, char **v) { puts(v[1]); return atoi(v[1]) % 7 == 0; }";
        fs::write(&source, code).unwrap();
        let compiled = Command::new("cc").args(["-static", "-O2", "-o"]).arg(&program).arg(&source).status();
        if !compiled.is_ok_and(|status| status.success()) {
            fs::write(&program, "#!/bin/sh\necho $1\n[ $(($1 % 7)) != 0 ]\n").unwrap();
            Command::new("chmod").arg("+x").arg(&program).status().unwrap();
        }
        program
    })
}

/// What a process holds.
struct Holdings {
    descriptors: usize,
    threads: usize,
    zombies: usize,
}

fn holdings(pid: u32) -> Holdings {
    let count = |folder: &str| fs::read_dir(format!("/proc/{pid}/{folder}")).unwrap().count();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    let zombies = children.filter(|child| !lives(*child)).count();
    Holdings { descriptors: count("fd"), threads: count("task"), zombies }
}

fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Runs `count` jobs beside one that goes on all the time, waits until loophost holds no more than before them, and gives
/// its size after the first tenth and at the end.
fn many(args: &[&str], count: u64) -> [u64; 2] {
    let gate = tempfile::tempdir().unwrap();
    let (opened, open) = (gate.path().join("opened"), gate.path().join("open"));
    // The first value is the gate's: it tells that it runs, and waits.
    let script = "if [ \"$1\" = gate ]; then echo $$ > \"$2\"; until [ -e \"$3\" ]; do sleep 0.05; done; \
                  else exec \"$4\" \"$1\"; fi";
    let mut running = Running(
        batch(&["--json", "-j8"])
            .args(args)
            .args(["--", "sh", "-c", script, "sh", "{}"])
            .args([&opened, &open])
            .arg(seventh_fails())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let pid = running.0.id();
    let mut stdin = running.0.stdin.take().unwrap();
    let mut stderr = running.0.stderr.take().unwrap();
    let printed = thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).unwrap();
        text
    });
    // When the second job has ended, all that belongs to the first one is there.
    stdin.write_all(b"gate\n0\n").unwrap();
    let mut seen = BTreeSet::new();
    let mut records = BufReader::new(running.0.stdout.take().unwrap()).lines();
    let first: Value = serde_json::from_str(&records.next().unwrap().unwrap()).unwrap();
    assert!(first["value"] == "0" && seen.insert(0), "{first}");
    until("the gate", || read_pid(&opened).is_some());
    let before = holdings(pid);
    let feeder = thread::spawn(move || {
        for n in 1..=count {
            writeln!(stdin, "{n}").unwrap();
        }
        stdin
    });
    let mut size = [0; 2];
    for n in 1..=count {
        let record: Value = serde_json::from_str(&records.next().unwrap().unwrap()).unwrap();
        let value: u64 = record["value"].as_str().unwrap().parse().unwrap();
        assert!(seen.insert(value), "{value} twice");
        assert_eq!(record["returncode"].as_i64(), Some(i64::from(value.is_multiple_of(7))), "{record}");
        if n == count / 10 {
            size[0] = resident_kib(pid);
        }
    }
    size[1] = resident_kib(pid);
    // A job's last descriptor or thread may be on its way out, before as after; a leak would be hundreds of them.
    until("the holdings of before", || {
        let after = holdings(pid);
        after.descriptors <= before.descriptors && after.threads <= before.threads && after.zombies == 0
    });
    File::create(&open).unwrap();
    drop(feeder.join().unwrap());
    assert_eq!(running.0.wait().unwrap().code(), Some(123));
    let printed = printed.join().unwrap();
    let printed: BTreeSet<u64> = printed.lines().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(printed, seen, "every output arrives");
    size
}

#[test]
fn ten_thousand_jobs_leave_nothing_behind() {
    let poll = cdylib("loophost-poll");
    // As many as that with --full; here some hundreds for each.
    let count = if std::env::var_os("LOOPHOST_FULL").is_some() { 10_000 } else { 500 };
    for policy in ["default", poll.to_str().unwrap()] {
        for watcher in ["pidfd", "threaded", "safe", "fast", "multi-loop"] {
            many(&["--policy", policy, "--watcher", watcher], count);
        }
    }
}

#[test]
fn memory_stays_flat_over_very_many_jobs() {
    let count = if std::env::var_os("LOOPHOST_FULL").is_some() { 200_000 } else { 5_000 };
    let [early, late] = many(&[], count);
    // Freed memory is not given back page by page: a tenth more, and not ten times.
    assert!(late < early + early / 10 + 1024, "from {early} KiB to {late} KiB");
}
