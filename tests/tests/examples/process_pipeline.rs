//! `process-pipeline` beside what a shell does.

use std::fs;

use loophost_tests::{Ended, Loop, Started, eventually, on_each_loop, proc, program, run};
use nix::{sys::stat::Mode, unistd::mkfifo};
use tempfile::TempDir;

fn pipeline(on: &Loop, words: &[&str]) -> Ended {
    run(on.run(program("process-pipeline"), words))
}

#[test]
fn outputs_are_inputs_and_the_status_is_the_last_one_s() {
    on_each_loop(|on| {
        let ended = pipeline(on, &["seq", "1", "200000", "|", "sort", "-rn", "|", "head", "-n", "2"]);
        assert_eq!((ended.code(), ended.stdout.as_str()), (0, "200000\n199999\n"), "{}", ended.stderr);
        for (words, status) in [
            (&["false", "|", "true"][..], 0),
            (&["true", "|", "sh", "-c", "exit 7"], 7),
            (&["true", "|", "sh", "-c", "kill -KILL $$"], 137),
            (&["sh", "-c", "exit 3"], 3),
            (&["true", "|", "no such program"], 125),
            (&["true", "|"], 125),
        ] {
            let ended = pipeline(on, words);
            assert_eq!(ended.code(), status, "{} {words:?}: {}", on.name, ended.stderr);
        }
    });
}

#[test]
fn a_reader_that_ends_ends_those_before_it() {
    on_each_loop(|on| {
        let ended = pipeline(on, &["yes", "|", "cat", "|", "cat", "|", "head", "-n", "1"]);
        assert_eq!((ended.code(), ended.stdout.as_str()), (0, "y\n"), "{}", ended.stderr);
    });
}

#[test]
fn a_slow_reader_holds_up_the_writer_and_not_the_memory() {
    const SIZE: usize = 256 << 20;
    on_each_loop(|on| {
        let folder = TempDir::new().unwrap();
        let gates = ["begin", "end"].map(|name| folder.path().join(name));
        gates.iter().for_each(|gate| mkfifo(gate, Mode::S_IRWXU).unwrap());
        let [begin, end] = gates.each_ref().map(|gate| gate.to_str().unwrap());
        let reader = format!("read x < {begin}; wc -c; echo done; read x < {end}");
        let size = SIZE.to_string();
        let words = ["head", "-c", &size, "/dev/zero", "|", "sh", "-c", &reader];
        let started = Started::new(on.run(program("process-pipeline"), words));
        let pipeline = eventually("the pipeline", || proc::children(started.pid()).pop()).pid;
        // Both are there, and the pipes are full.
        eventually("two programs that wait", || {
            let programs = proc::children(pipeline);
            (programs.len() == 2 && programs.iter().all(|program| program.state == 'S')).then_some(())
        });
        let most = || {
            let status = fs::read_to_string(format!("/proc/{pipeline}/status")).unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
            line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
        };
        fs::write(begin, "\n").unwrap();
        started.line("done");
        assert!(most() < SIZE / 4, "{}: {} bytes", on.name, most());
        fs::write(end, "\n").unwrap();
        let ended = started.wait();
        assert_eq!((ended.code(), ended.stdout), (0, format!("{size}\ndone\n")));
    });
}
