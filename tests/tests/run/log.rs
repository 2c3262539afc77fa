//! What loophost says, and that nobody need listen.

use std::{
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

use loophost_tests::{Plugins, lines, loophost, run};
use nix::{fcntl::OFlag, unistd::pipe2};

#[test]
fn a_plugin_logs_under_its_own_name() {
    let plugins = Plugins::new();
    let limited = plugins.file("liblimited_policy.so");
    let stderr = |filter: &str| {
        let mut command = loophost(["--log", filter, "run", "--policy"]);
        command.arg(&limited).args(["--policy-opt", "max=2", "--", "true"]);
        let ended = run(command);
        assert_eq!(ended.status.code(), Some(0), "{filter}: {}", ended.stderr);
        ended.stderr
    };
    let line = " INFO limited_policy: making an event loop made=1 max=2";
    for filter in ["debug", "info", "limited_policy=info", "error,limited_policy=trace"] {
        let stderr = stderr(filter);
        assert_eq!(lines(&stderr).filter(|found| *found == line).count(), 1, "{filter}: {stderr}");
    }
    for filter in ["warn", "limited_policy=warn", "loophost=debug", "info,limited_policy=off"] {
        assert!(!stderr(filter).contains("limited_policy"), "{filter}");
    }
    assert!(stderr("debug").contains("DEBUG loophost::"));
}

#[test]
fn the_filter_may_come_from_the_environment() {
    let stderr = |flag: &[&str]| {
        let mut command = loophost(flag);
        command.env("LOOPHOST_LOG", "debug").args(["run", "--", "true"]);
        run(command).stderr
    };
    assert!(stderr(&[]).contains("DEBUG"));
    assert_eq!(stderr(&["--log", "warn"]), "");
}

#[test]
fn nothing_is_said_by_default_and_colours_are_for_terminals() {
    assert_eq!(run(loophost(["run", "--", "true"])).stderr, "");
    assert!(!run(loophost(["--log", "trace", "run", "--", "true"])).stderr.contains('\x1b'));
}

/// A command whose standard error, and output if wanted, nobody reads.
fn unheard(mut command: Command, output_too: bool) -> Command {
    // Close-on-exec, or what other tests start just now would inherit it.
    let (read, write) = pipe2(OFlag::O_CLOEXEC).unwrap();
    drop(read);
    // SAFETY: dup2 is async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            nix::unistd::dup2_stderr(&write)?;
            if output_too {
                nix::unistd::dup2_stdout(&write)?;
            }
            Ok(())
        });
    }
    command
}

#[test]
fn loophost_does_not_die_of_a_standard_error_that_nobody_reads() {
    for output_too in [false, true] {
        let command = loophost(["--log", "trace", "run", "--", "sh", "-c", "exit 3"]);
        assert_eq!(run(unheard(command, output_too)).status.code(), Some(3));
        let command = loophost(["run", "--", "no-such-program"]);
        assert_eq!(run(unheard(command, output_too)).status.code(), Some(127));
        let command = loophost(["run", "--no-such-flag"]);
        assert_eq!(run(unheard(command, output_too)).status.code(), Some(125));
    }
}

#[test]
fn loophost_does_not_die_of_closed_streams() {
    for args in
        [&["--log", "trace", "run", "--", "sh", "-c", "exit 3"][..], &["run", "--", "sh", "-c", "exit 3"]]
    {
        let mut command = loophost(args);
        // SAFETY: close is async-signal-safe; the streams belong to the command.
        unsafe {
            command.pre_exec(|| {
                (0..3).for_each(|fd| {
                    libc::close(fd);
                });
                Ok(())
            });
        }
        assert_eq!(run(command).status.code(), Some(3));
    }
}

#[test]
fn a_reader_that_has_read_enough_is_no_failure() {
    for args in [&["run", "--explain"][..], &["--help"], &["run", "--help"], &["plugin", "list"]] {
        assert_eq!(run(unheard(loophost(args), true)).status.code(), Some(0), "{args:?}");
    }
    // And as a shell does it.
    let mut child = loophost(["plugin", "list"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("default"), "{first}");
    assert!(child.wait().unwrap().success());
}
