//! How many jobs run at a time.

use std::{fs, num::NonZeroUsize, path::Path, process::Command, thread};

use loophost_tests::{Ended, binary, command, run as run_command};

use crate::batch;

/// Runs jobs that write when they begin and end, the first of which wait until `together` have begun, and gives the
/// most that have run at a time.
fn most_at_a_time(mut command: Command, together: usize) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let script =
        "echo + >> \"$0\"; until [ $(grep -c + \"$0\") -ge $1 ]; do sleep 0.01; done; echo - >> \"$0\"";
    command.args(["sh", "-c", script]).arg(&log).args([&together.to_string(), "{}", ":::"]);
    command.args((0..8 * together).map(|n| n.to_string()));
    assert_eq!(run_command(command).code(), 0);
    most(&log)
}

fn most(log: &Path) -> usize {
    let mut running = 0_usize;
    let count = |line: &str| {
        running = if line == "+" { running + 1 } else { running - 1 };
        running
    };
    fs::read_to_string(log).unwrap().lines().map(count).max().unwrap()
}

#[test]
fn as_many_jobs_run_as_are_allowed_and_no_more() {
    assert_eq!(most_at_a_time(batch(&["-j1"]), 1), 1);
    assert_eq!(most_at_a_time(batch(&["-j5"]), 5), 5);
    let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let half = (processors / 2).max(1);
    assert_eq!(most_at_a_time(batch(&["-j50%"]), half), half);
    assert_eq!(most_at_a_time(batch(&["--jobs", "300%"]), 3 * processors), 3 * processors);
}

/// Runs a batch that may have 40 descriptors.
fn with_few_descriptors(args: &[&str]) -> Ended {
    let mut shell = command("sh");
    shell.args(["-c", "ulimit -n 40; exec \"$0\" batch \"$@\""]).arg(binary()).args(args);
    run_command(shell)
}

#[test]
fn few_descriptors_mean_fewer_jobs_at_a_time() {
    let values: Vec<_> = (0..60).map(|n| n.to_string()).collect();
    for (options, script, length) in [
        (&["-j50"][..], "echo", 1),
        // Each output in a temporary file, and those that are not the next one's wait.
        (&["-j50"], "head -c 200000 /dev/zero; echo; head -c 200000 /dev/zero >&2", 200_001),
        (&["-j50", "-k"], "head -c 200000 /dev/zero; echo", 200_001),
        (&["-j50", "-u"], "echo", 1),
    ] {
        let mut args = options.to_vec();
        args.extend(["sh", "-c", script, ":::"]);
        args.extend(values.iter().map(String::as_str));
        let ended = with_few_descriptors(&args);
        assert_eq!(ended.code(), 0, "{}", ended.stderr);
        assert_eq!(ended.stdout.len(), 60 * length);
        assert!(ended.stderr.contains("raise the limit of open files"), "{}", ended.stderr);
    }
}
