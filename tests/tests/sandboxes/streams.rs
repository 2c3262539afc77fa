//! Standard streams that are closed, full, or have nobody at the other end.

use std::{
    fs::{self, File},
    io::{self, PipeReader, PipeWriter, Write},
    os::{fd::AsRawFd, unix::process::CommandExt},
    process::Command,
};

use loophost_tests::{Started, eventually, loophost, proc, run};
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::signal::Signal,
    unistd::Pid,
};

use crate::{promise::refused, sandbox::Sandbox};

/// What prints something by itself.
const PRINTING: [&[&str]; 8] = [
    &["run", "--explain"],
    &["plugin", "list"],
    &["doctor"],
    &["doctor", "--json"],
    &["completions", "bash"],
    &["--help"],
    &["batch", "--help"],
    &["--version"],
];

/// The writing end of a pipe that nobody reads.
fn unread() -> PipeWriter {
    io::pipe().unwrap().1
}

/// A pipe that takes no more, and its reader, who reads nothing.
fn full() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = io::pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    while writer.write(&[b'.'; 4096]).is_ok() {}
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    (reader, writer)
}

fn has_thread(process: Pid, name: &str) -> bool {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    tasks.flat_map(|task| fs::read_to_string(task.path().join("comm"))).any(|comm| comm.trim_end() == name)
}

/// Makes `file` the descriptor `number` of a command.
fn redirect(command: &mut Command, file: impl AsRawFd + Send + Sync + 'static, number: i32) {
    // SAFETY: dup2 is async-signal-safe; the closure keeps the file open.
    unsafe {
        command.pre_exec(move || match libc::dup2(file.as_raw_fd(), number) {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
}

fn close(command: &mut Command, streams: [bool; 3]) {
    // SAFETY: close is async-signal-safe; these are the command's own.
    unsafe {
        command.pre_exec(move || {
            for (number, _) in (0..).zip(streams).filter(|(_, closed)| *closed) {
                libc::close(number);
            }
            Ok(())
        });
    }
}

#[test]
fn any_of_the_streams_may_be_closed() {
    for closed in 0..8 {
        let streams = [0, 1, 2].map(|n| closed >> n & 1 != 0);
        let mut cases: Vec<(&[&str], i32)> = vec![
            (&["run", "--", "sh", "-c", "exit 3"], 3),
            (&["--log", "debug", "run", "--", "true"], 0),
            (&["run", "--", "/no/such/program"], 127),
            (&["batch", "-j2", "sh", "-c", "cat; echo out; exit $0", ":::", "0", "1"], 123),
            (&["batch", "--json", "cat", ":::", "/dev/null"], 0),
            (&["batch", "cat"], 0),
            (&["--no-such-flag"], 125),
        ];
        cases.extend(PRINTING.map(|args| (args, 0)));
        for (args, status) in cases {
            let mut command = loophost(args);
            close(&mut command, streams);
            let ended = Sandbox::new().run_command(command);
            let doctor_s = args[0] == "doctor" && ended.status.code() == Some(1);
            assert!(
                ended.status.code() == Some(status) || doctor_s,
                "{args:?}, {streams:?}: {}",
                ended.status
            );
        }
    }
}

#[test]
fn a_reader_that_is_gone_is_no_failure_of_what_prints() {
    for args in PRINTING {
        let mut command = loophost(args);
        redirect(&mut command, unread(), 1);
        let ended = Sandbox::new().run_command(command);
        let is_doctor = args[0] == "doctor";
        assert!(matches!(ended.status.code(), Some(0)) || is_doctor, "{args:?}: {}", ended.status);
        assert_eq!(ended.stderr, "", "{args:?}");
    }
}

#[test]
fn a_batch_whose_reader_is_gone_ends_as_by_sigpipe() {
    // Also if it is the last output that cannot be written.
    for jobs in [&["1"][..], &["1", "2", "3", "4"]] {
        for options in [&["--json"][..], &["-k"], &["-j1"]] {
            let mut command = loophost(["batch"]);
            command.args(options).args(["echo", ":::"]).args(jobs);
            redirect(&mut command, unread(), 1);
            let ended = Sandbox::new().run_command(command);
            assert_eq!(
                ended.status.code(),
                Some(128 + libc::SIGPIPE),
                "{options:?} {jobs:?}: {}",
                ended.stderr
            );
            assert!(!ended.stderr.contains("loophost"), "{options:?}: {}", ended.stderr);
        }
    }
}

#[test]
fn a_program_s_reader_is_the_program_s_business() {
    let mut command = loophost(["run", "--", "sh", "-c", "echo out; exit 3"]);
    redirect(&mut command, unread(), 1);
    let ended = Sandbox::new().run_command(command);
    // dash complains and goes on; another shell dies of the signal.
    assert!(matches!(ended.status.code(), Some(3 | 141)), "{}: {}", ended.status, ended.stderr);
    let mut command = loophost(["run", "--", "true"]);
    redirect(&mut command, unread(), 1);
    assert_eq!(Sandbox::new().run_command(command).status.code(), Some(0));
}

#[test]
fn nobody_has_to_read_the_log() {
    for full in [false, true] {
        for (args, status) in [
            (&["--log", "debug", "run", "--", "sh", "-c", "exit 3"][..], 3),
            (&["--log", "debug", "--log-format", "json", "run", "--", "sh", "-c", "exit 3"], 3),
            (&["--log", "debug", "batch", "sh", "-c", "exit 1", ":::", "1"], 123),
            (&["run", "--", "/no/such/program"], 127),
            (&["run", "--policy", "no-such-policy", "--", "true"], 125),
            (&["--no-such-flag"], 125),
        ] {
            let mut command = loophost(args);
            if full {
                redirect(&mut command, File::create("/dev/full").unwrap(), 2);
            } else {
                redirect(&mut command, unread(), 2);
            }
            let ended = Sandbox::new().run_command(command);
            assert_eq!(ended.status.code(), Some(status), "{args:?}");
        }
    }
}

#[test]
fn nobody_has_to_read_the_log_soon() {
    let (_reader, writer) = full();
    let mut command = loophost(["run", "--", "/no/such/program"]);
    redirect(&mut command, writer, 2);
    assert_eq!(run(command).code(), 127);

    let (_reader, writer) = full();
    let mut command = loophost(["--log", "trace", "run", "--", "sleep", "600"]);
    redirect(&mut command, writer, 2);
    let started = Started::new(command);
    eventually("the program", || proc::children(started.pid()).pop());
    started.signal(Signal::SIGTERM);
    assert_eq!(started.wait().code(), 143);

    // A batch waits until what it has to say was read, as for its jobs' output; a signal ends it all the same.
    let (_reader, writer) = full();
    let mut command = loophost(["batch", "/no/such/program", ":::", "1"]);
    redirect(&mut command, writer, 2);
    let started = Started::new(command);
    eventually("the writer", || has_thread(started.pid(), "loophost-writer").then_some(()));
    started.signal(Signal::SIGTERM);
    assert_eq!(started.wait().code(), 143);
}

#[test]
fn a_full_disk_under_the_output_is_told() {
    let batches: [&[&str]; 4] = [
        &["batch", "echo", ":::", "1"],
        &["batch", "--json", "true", ":::", "1"],
        &["batch", "-k", "echo", ":::", "1", "2", "3"],
        &["batch", "-j1", "sh", "-c", "head -c 300000 /dev/zero", ":::", "1"],
    ];
    for args in PRINTING.into_iter().chain(batches) {
        let mut command = loophost(args);
        redirect(&mut command, File::create("/dev/full").unwrap(), 1);
        let ended = Sandbox::new().run_command(command);
        let message = refused(&ended, &format!("{args:?}"));
        assert!(message.contains("No space left on device"), "{args:?}: {message}");
        assert!(message.contains("writing "), "{args:?}: {message}");
    }
}
