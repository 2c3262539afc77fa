//! How jobs are ended: by a time limit, by `--halt`, by signals.

use std::{ffi::OsStr, fs, io::Write, path::Path};

use loophost_tests::{Started, eventually, proc, skip};
use nix::sys::{
    signal::Signal::{self, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGSTOP, SIGTERM},
    utsname::uname,
};

use crate::{batch, expect_file, expect_gone, pid_in, records, run};

/// Does not mind TERM, and tells of each.
const STUBBORN: &str =
    "trap 'echo TERM >> \"$0.signals\"' TERM; echo $$ > \"$0\"; while :; do sleep 0.01; done";

/// Starts a batch of one job, a shell script whose `$0` is a file.
fn start<S: AsRef<OsStr>>(options: &[S], script: &str, file: &Path) -> Started {
    let mut command = batch(&["--json"]);
    command.args(options).args(["sh", "-c", script]).arg(file).args([":::", "value"]);
    Started::new(command)
}

fn returncode(stdout: &str) -> i64 {
    let records = records(stdout);
    assert_eq!(records.len(), 1);
    records[0]["returncode"].as_i64().unwrap()
}

/// Linux 6.9 reaches what is left of a process group.
fn follows_groups() -> bool {
    let name = uname().unwrap();
    let mut numbers =
        name.release().to_str().unwrap().split('.').map_while(|number| number.parse::<u32>().ok());
    let follows = (numbers.next(), numbers.next()) >= (Some(6), Some(9));
    if !follows {
        skip("before Linux 6.9 nothing follows what a job has left behind");
    }
    follows
}

#[test]
fn halt_soon_starts_no_more() {
    let script = "echo $1; exit 1";
    let ended = run(&["--halt", "soon", "-j1", "sh", "-c", script, "sh", ":::", "1", "2", "3"], "");
    assert_eq!((ended.code(), &*ended.stdout), (124, "1\n"));
}

#[test]
fn halt_soon_lets_what_runs_finish() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let script = "if [ $1 = first ]; then until [ -e \"$0\" ]; do sleep 0.01; done; exit 1; fi; \
                  : > \"$0\"; until [ -e \"$0.go\" ]; do sleep 0.01; done";
    let mut command = batch(&["--json", "-j2", "--halt", "soon", "sh", "-c", script]);
    command.arg(&file).args(["{}", ":::", "first", "second", "third"]);
    let started = Started::new(command);
    eventually("the first record", || (started.stdout().lines().count() == 1).then_some(()));
    fs::write(file.with_extension("go"), "").unwrap();
    let ended = started.wait();
    let returncodes: Vec<_> =
        records(&ended.stdout).iter().map(|record| record["returncode"].as_i64().unwrap()).collect();
    assert_eq!((ended.code(), returncodes), (124, vec![1, 0]));
}

#[test]
fn halt_now_ends_what_runs() {
    // The first job fails when the others run.
    let script = "if [ $1 = first ]; then until [ -e \"$0.2\" -a -e \"$0.3\" ]; do sleep 0.01; done; exit 3; fi; \
                  echo $$ > \"$0.$1\"; exec sleep 600";
    for json in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let mut args = vec!["-j3", "--halt", "now"];
        args.extend(json.then_some("--json"));
        args.extend(["sh", "-c", script, file.to_str().unwrap(), "{}", ":::", "first", "2", "3", "4"]);
        let ended = run(&args, "");
        assert_eq!(ended.code(), 124, "{}", ended.stderr);
        if json {
            let told: Vec<_> = records(&ended.stdout)
                .iter()
                .map(|record| (record["returncode"].as_i64().unwrap(), record["ended"].as_bool().unwrap()))
                .collect();
            assert_eq!(told, [(3, false), (-15, true), (-15, true)]);
        } else {
            assert_eq!(ended.stderr, "loophost: 1 of 3 jobs failed, 2 were ended\n");
        }
        for name in ["2", "3"] {
            expect_gone(pid_in(&file.with_extension(name)));
        }
    }
}

#[test]
fn each_job_is_told_once_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let script = "case $1 in \
                  first) until [ -e \"$0.2\" -a -e \"$0.3\" -a -e \"$0.4\" ]; do sleep 0.01; done; exit 1;; \
                  4) trap 'echo TERM >> \"$0.signals\"' TERM; : > \"$0.4\"; until [ -e \"$0.go\" ]; do sleep 0.01; done;; \
                  *) : > \"$0.$1\"; exec sleep 600;; \
                  esac";
    let mut command = batch(&["--json", "-j4", "--halt", "now", "--grace", "1h", "sh", "-c", script]);
    command.arg(&file).args(["{}", ":::", "first", "2", "3", "4"]);
    let started = Started::new(command);
    // The ends of the two that obey are no reason to tell the last one again.
    eventually("three records", || (started.stdout().lines().count() == 3).then_some(()));
    expect_file(&file.with_extension("signals"));
    fs::write(file.with_extension("go"), "").unwrap();
    assert_eq!(started.wait().code(), 124);
    assert_eq!(fs::read_to_string(file.with_extension("signals")).unwrap(), "TERM\n");
}

#[test]
fn a_job_that_takes_too_long_is_ended() {
    let ended = run(&["--json", "--timeout", "100ms", "-j2", "sleep", ":::", "0", "600"], "");
    assert_eq!(ended.code(), 123);
    let all = records(&ended.stdout);
    let told = |n: usize| (all[n]["returncode"].as_i64(), all[n]["timed_out"].as_bool());
    assert_eq!(told(1), (Some(-15), Some(true)));
    let duration = all[1]["duration"].as_f64().unwrap();
    assert!((0.1..600.0).contains(&duration), "{duration}");
    // A busy machine may take longer than that to run the first one.
    assert!(matches!(told(0), (Some(0), Some(false)) | (Some(-15), Some(true))), "{all:?}");
}

#[test]
fn a_job_that_does_not_end_is_killed_after_its_grace() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let started =
        start(&["--timeout", "50ms", "--grace", "50ms"], "trap '' TERM; while :; do sleep 0.01; done", &file);
    let ended = started.wait();
    assert_eq!((ended.code(), returncode(&ended.stdout)), (123, -9));

    let started = start(&["--grace", "50ms"], STUBBORN, &file);
    pid_in(&file);
    started.signal(SIGTERM);
    let ended = started.wait();
    assert_eq!((ended.code(), returncode(&ended.stdout)), (128 + libc::SIGTERM, -9));
}

#[test]
fn a_signal_ends_the_jobs_and_what_they_have_started() {
    let script = "sleep 600 & echo $! > $1.grandchild; echo $$ > $1.pid; wait";
    for signum in [SIGTERM, SIGINT, SIGHUP, SIGQUIT] {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let mut command = batch(&["--grace", "1h", "-j2", "sh", "-c", script, "sh", ":::"]);
        command.args([file("a"), file("b")]);
        let started = Started::new(command);
        let pids = ["a.pid", "b.pid", "a.grandchild", "b.grandchild"].map(|name| pid_in(&file(name)));
        started.signal(signum);
        assert_eq!(started.wait().code(), 128 + signum as i32);
        pids.into_iter().for_each(expect_gone);
    }
}

#[test]
fn what_a_job_has_started_gets_its_grace_after_the_job() {
    if !follows_groups() {
        return;
    }
    // The shell dies at once; its child needs time, and prints.
    let script = "sh -c 'trap \"until [ -e \\\"$0.go\\\" ]; do sleep 0.01; done; echo late >&2; exit\" TERM; \
                  echo $$ > \"$0\"; while :; do sleep 0.01; done' \"$0\"; true";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let started = start(&["--grace", "1h"], script, &file);
    let child = pid_in(&file);
    let job = proc::stat(child).unwrap().parent;
    started.signal(SIGTERM);
    expect_gone(job);
    fs::write(file.with_extension("go"), "").unwrap();
    let ended = started.wait();
    assert_eq!((ended.code(), returncode(&ended.stdout)), (128 + libc::SIGTERM, -15));
    // A shell may also tell of its sleep, which was ended.
    assert!(ended.stderr.ends_with("late\n"), "{}", ended.stderr);
    expect_gone(child);
}

#[test]
fn what_a_job_has_left_behind_is_killed_after_the_grace() {
    if !follows_groups() {
        return;
    }
    let script = "sh -c 'trap \"\" TERM; echo $$ > \"$0\"; while :; do sleep 0.01; done' \"$0\"; true";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let started = start(&["--timeout", "500ms", "--grace", "100ms"], script, &file);
    let ended = started.wait();
    assert_eq!((ended.code(), returncode(&ended.stdout)), (123, -15));
    // On a very busy machine the time was up before there was a child.
    if file.exists() {
        expect_gone(pid_in(&file));
    }
}

#[test]
fn the_second_signal_kills() {
    for signum in [SIGTERM, SIGINT, SIGQUIT] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        // Nothing but a second signal kills before an hour has passed.
        let started = start(&["--grace", "1h"], STUBBORN, &file);
        pid_in(&file);
        started.signal(SIGHUP);
        expect_file(&file.with_extension("signals"));
        // One that comes too soon counts as the first one.
        eventually("the end of a batch", || {
            if started.ended().is_none() {
                started.signal(signum);
            }
            started.ended()
        });
        let ended = started.wait();
        assert_eq!((ended.code(), returncode(&ended.stdout)), (128 + libc::SIGHUP, -9));
        assert_eq!(fs::read_to_string(file.with_extension("signals")).unwrap(), "TERM\n");
    }
}

#[test]
fn signals_that_come_together_are_one_and_a_hang_up_never_kills() {
    let script = "trap 'echo TERM >> \"$0.signals\"' TERM; echo $$ > \"$0\"; \
                  until [ -e \"$0.go\" ]; do sleep 0.01; done; exit 7";
    for together in [[SIGTERM, SIGHUP], [SIGTERM, SIGINT], [SIGHUP, SIGINT]] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let started = start(&["--grace", "1h"], script, &file);
        pid_in(&file);
        // Stopped, it finds both when it goes on.
        started.signal(SIGSTOP);
        together.into_iter().for_each(|signum: Signal| started.signal(signum));
        started.signal(SIGCONT);
        expect_file(&file.with_extension("signals"));
        for _ in 0..3 {
            started.signal(SIGHUP);
        }
        fs::write(file.with_extension("go"), "").unwrap();
        let ended = started.wait();
        assert_eq!(returncode(&ended.stdout), 7, "{together:?}");
        assert!(together.map(|signum| 128 + signum as i32).contains(&ended.code()));
    }
}

#[test]
fn a_batch_that_failed_ends_by_a_signal_too_and_says_that_it_failed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let (reader, mut values) = std::io::pipe().unwrap();
    let mut command = batch(&["-j2", "--grace", "1h", "sh", "-c", "eval \"$1\""]);
    command.arg(&file).env("TMPDIR", "/nonexistent").stdin(reader);
    let started = Started::new(command);
    writeln!(values, "{STUBBORN}").unwrap();
    pid_in(&file);
    writeln!(values, "head -c 1000000 /dev/zero").unwrap();
    expect_file(&file.with_extension("signals"));
    eventually("the end of a batch", || {
        if started.ended().is_none() {
            started.signal(SIGTERM);
        }
        started.ended()
    });
    let ended = started.wait();
    assert_eq!(ended.code(), 125, "{}", ended.stderr);
}
