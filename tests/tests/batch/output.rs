//! What jobs print, and what is written of it.

use std::{collections::BTreeSet, fs, process::Command};

use loophost_tests::{Started, binary, command, run as run_command, skip};
use serde_json::Value;

use crate::{batch, expect_file, records, run};

#[test]
fn outputs_are_never_mixed_also_when_they_are_large() {
    // Each job prints a part, waits until the three others have printed as many, and prints the next one.
    let script = "for i in 1 2 3 4 5 6; do \
                      echo $1; head -c $2 /dev/zero | tr '\\0' $1; echo; echo e$1 >&2; : > \"$0/$1.$i\"; \
                      until [ -e \"$0/a.$i\" -a -e \"$0/b.$i\" -a -e \"$0/c.$i\" -a -e \"$0/d.$i\" ]; do sleep 0.01; done; \
                  done";
    // In memory, and in a temporary file.
    for size in ["10", "100000"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let ended = run(&["-j4", "sh", "-c", script, path, "{}", size, ":::", "a", "b", "c", "d"], "");
        assert_eq!(ended.code(), 0);
        let lines: Vec<_> = ended.stdout.lines().collect();
        assert_eq!(lines.len(), 4 * 12);
        for job in lines.chunks(12) {
            let name = job[0];
            assert!(job.iter().step_by(2).all(|line| *line == name), "another job's line in {name}'s");
            let long = name.repeat(size.parse().unwrap());
            assert!(job.iter().skip(1).step_by(2).all(|line| *line == long));
        }
        let errors: Vec<_> = ended.stderr.lines().collect();
        assert_eq!(errors.len(), 4 * 6);
        assert!(errors.chunks(6).all(|job| job.iter().all(|line| *line == job[0])), "{errors:?}");
    }
}

#[test]
fn ungrouped_jobs_write_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let script = "echo early; until [ -e \"$1\" ]; do sleep 0.01; done; echo late";
    let mut command = batch(&["-u", "sh", "-c", script, "sh", ":::"]);
    command.arg(&go);
    let started = Started::new(command);
    started.line("early");
    fs::write(&go, "").unwrap();
    assert_eq!(started.wait().stdout, "early\nlate\n");
}

#[test]
fn keep_order_writes_in_the_order_of_the_values() {
    // The first of eight waits until the last one has ended.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let script = "[ $1 = 0 ] && until [ -e \"$0/7\" ]; do sleep 0.01; done; echo $1; : > \"$0/$1\"";
    let values: Vec<_> = (0..40).map(|n| n.to_string()).collect();
    let mut args = vec!["-k", "-j8", "sh", "-c", script, path, "{}", ":::"];
    args.extend(values.iter().map(String::as_str));
    assert_eq!(run(&args, "").stdout.lines().collect::<Vec<_>>(), values);
}

#[test]
fn json_has_an_object_for_each_job() {
    let ended = run(&["--json", "sh", "-c", "echo out; echo err >&2; exit $1", "sh", ":::", "0", "3"], "");
    assert_eq!(ended.code(), 123);
    let all = records(&ended.stdout);
    assert_eq!(all.len(), 2);
    for (record, (value, returncode)) in all.iter().zip([("0", 0), ("3", 3)]) {
        let told = (record["value"].as_str(), record["returncode"].as_i64());
        assert_eq!(told, (Some(value), Some(returncode)));
        assert!(record["pid"].as_u64() > Some(1));
        assert!(record["start"].as_f64() > Some(1.7e9));
        assert!(record["duration"].as_f64() > Some(0.0) && record["cpu"].as_f64() > Some(0.0), "{record}");
        assert_eq!((&record["timed_out"], &record["ended"]), (&Value::Bool(false), &Value::Bool(false)));
        assert_eq!(record.get("error"), None);
    }
    assert_eq!(ended.stderr.matches("out").count(), 2, "what jobs print is not lost");
    let missing = run(&["--json", "{}", ":::", "/nonexistent"], "");
    let record = &records(&missing.stdout)[0];
    assert_eq!((record["returncode"].as_i64(), &record["pid"]), (Some(127), &Value::Null));
    assert!(record["error"].as_str().is_some_and(|error| error.contains("/nonexistent")));
}

#[test]
fn what_loophost_says_has_lines_of_its_own() {
    // The first job's error has no end of line.
    let ended = run(&["-j1", "{}", "-c", "printf unfinished >&2; exit 1", ":::", "sh", "/nonexistent"], "");
    let lines: BTreeSet<_> = ended.stderr.lines().collect();
    assert!(lines.contains("unfinished") && lines.contains("loophost: 2 of 2 jobs failed"), "{lines:?}");
}

#[test]
fn an_output_that_cannot_be_kept_is_told_once_and_keeps_back_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let ready = folder.path().join("ready");
    let large = "until [ -e \"$0\" ]; do sleep 0.01; done; head -c 1000000 /dev/zero";
    let small = "trap 'echo small; exit' TERM; : > \"$0\"; while :; do sleep 0.01; done";
    for options in [["-k", "--no-progress"], ["--json", "--no-progress"]] {
        let mut command = batch(&["-j2"]);
        command.args(options).args(["sh", "-c", "eval \"$1\""]).arg(&ready).args([":::", large, small]);
        command.env("TMPDIR", "/nonexistent");
        let ended = run_command(command);
        expect_file(&ready);
        assert_eq!(ended.code(), 125, "{}", ended.stderr);
        assert_eq!(ended.stderr.matches("keeping the output of job 1").count(), 1, "{}", ended.stderr);
        if options[0] == "-k" {
            assert_eq!(ended.stdout, "small\n");
        } else {
            let all = records(&ended.stdout);
            assert!(all[0]["error"].as_str().unwrap().contains("could not be kept"), "{all:?}");
            assert_eq!((all[1]["value"].as_str(), all[1].get("error")), (Some(small), None));
        }
        fs::remove_file(&ready).unwrap();
    }
}

#[test]
fn a_full_disk_under_a_large_output_is_an_error() {
    let allowed = Command::new("unshare").args(["--mount", "true"]).status();
    if !allowed.is_ok_and(|status| status.success()) {
        return skip("no mount namespaces here");
    }
    let folder = tempfile::tempdir().unwrap();
    // A disk of a few pages, in a mount namespace of its own.
    let script = "mount -t tmpfs -o size=128k tmpfs \"$1\" || exit 77; \
                  TMPDIR=$1 exec \"$0\" batch -j1 sh -c 'head -c 1000000 /dev/zero' ::: a";
    let mut unshare = command("unshare");
    unshare.args(["--mount", "sh", "-c", script]).arg(binary()).arg(folder.path());
    let ended = run_command(unshare);
    if ended.code() == 77 {
        return skip("no right to mount here");
    }
    assert_eq!(ended.code(), 125, "{}", ended.stderr);
    assert!(ended.stderr.contains("keeping the output of job 1"), "{}", ended.stderr);
    assert!(ended.stderr.contains("No space left"), "{}", ended.stderr);
}
