//! The program's own status, and loophost's.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::Path,
    process::ExitStatus,
};

use loophost_tests::{Plugins, Started, loophost, proc, run};
use nix::{sys::signal::Signal, unistd::Pid};
use tempfile::TempDir;

fn status(args: &[&str]) -> ExitStatus {
    run(loophost(args)).status
}

#[test]
fn the_program_s_status_is_loophost_s() {
    let plugins = Plugins::new();
    let cases = [
        ("exit 0", 0),
        ("exit 3", 3),
        ("exit 255", 255),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
        ("ulimit -c 0; kill -SEGV $$", 139),
    ];
    for setup in plugins.setups() {
        for (script, status) in cases {
            let ended = run(loophost(setup.run(["sh", "-c", script])));
            assert_eq!(ended.status.code(), Some(status), "{setup:?} {script}: {}", ended.stderr);
            assert_eq!(ended.stderr, "", "{setup:?} {script}");
        }
    }
}

#[test]
fn a_real_time_signal_gives_its_status() {
    assert_eq!(status(&["run", "--", "sh", "-c", "kill -64 $$"]).code(), Some(192));
}

/// A file with a mode.
fn file(path: &Path, content: &str, mode: u32) -> String {
    // Written by a child: a process that another test is just starting would hold our descriptor for a moment, and a
    // file that is open for writing cannot be executed.
    let script = "printf %s \"$1\" > \"$0\"";
    let written = std::process::Command::new("sh").args(["-c", script]).arg(path).arg(content).status();
    assert!(written.unwrap().success());
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn what_cannot_be_started_is_127_or_126_with_one_line() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let folder_itself = folder.path().to_str().unwrap().to_owned();
    let cases = [
        ("no-such-program".to_owned(), 127, "no-such-program: not found in PATH"),
        (path("missing").to_str().unwrap().to_owned(), 127, "missing: no such file"),
        (path("missing/program").to_str().unwrap().to_owned(), 127, "missing/program: no such file"),
        (file(&path("not-executable"), "#!/bin/sh\n", 0o644), 126, "cannot be executed: Permission denied"),
        (folder_itself, 126, "cannot be executed: Is a directory"),
        (
            file(&path("bad-interpreter"), "#!/no/such/interpreter\n", 0o755),
            126,
            "its interpreter /no/such/interpreter cannot be executed",
        ),
        (file(&path("no-format"), "just text\n", 0o755), 126, "cannot be executed: Exec format error"),
        (file(&path("empty"), "", 0o755), 126, "cannot be executed: Exec format error"),
        (format!("{}/", path("no-format").display()), 126, "cannot be executed: Not a directory"),
    ];
    for (program, status, message) in cases {
        let ended = run(loophost(["run", "--", &program]));
        assert_eq!(ended.status.code(), Some(status), "{program}: {}", ended.stderr);
        assert!(ended.stderr.starts_with("loophost: "), "{}", ended.stderr);
        assert!(ended.stderr.contains(message), "{}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    }
}

#[test]
fn the_path_is_searched_as_execvp_does() {
    let folder = TempDir::new().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    fs::create_dir(&first).unwrap();
    fs::create_dir(&second).unwrap();
    file(&first.join("passed-over"), "#!/bin/sh\nexit 1\n", 0o644);
    file(&second.join("passed-over"), "#!/bin/sh\nexit 9\n", 0o755);
    file(&first.join("refused"), "#!/bin/sh\nexit 1\n", 0o644);
    let path = std::env::join_paths([&first, &second]).unwrap();
    for (program, status) in [("passed-over", 9), ("refused", 126), ("missing", 127)] {
        let mut command = loophost(["run", "--", program]);
        command.env("PATH", &path);
        assert_eq!(run(command).status.code(), Some(status), "{program}");
    }
}

#[test]
fn the_program_s_end_is_the_end_whatever_it_leaves_behind() {
    // Its child holds the output open, and the group.
    let started = Started::new(loophost(["run", "--", "sh", "-c", "sleep 1000 & echo $!; exit 3"]));
    let left = Pid::from_raw(started.line("").parse().unwrap());
    assert_eq!(started.wait().status.code(), Some(3));
    assert!(proc::stat(left).is_some());
}

#[test]
fn wrong_usage_is_125() {
    let cases: [&[&str]; 14] = [
        &[],
        &["no-such-command"],
        &["run"],
        &["run", "--"],
        &["run", "--", ""],
        &["run", "--no-such-flag", "--", "true"],
        &["run", "--policy"],
        &["run", "--policy", "", "--", "true"],
        &["run", "--policy", "a b", "--", "true"],
        &["run", "--policy", "poll", "--policy", "poll", "--", "true"],
        &["run", "--policy-opt", "no-equals-sign", "--", "true"],
        &["run", "--policy-opt", "=value", "--", "true"],
        &["run", "--policy-opt", "key=value", "--", "true"],
        &["--log", "no=such=filter", "run", "--", "true"],
    ];
    for args in cases {
        let ended = run(loophost(args));
        assert_eq!(ended.status.code(), Some(125), "{args:?}: {}", ended.stderr);
        assert_ne!(ended.stderr, "", "{args:?}");
        assert_eq!(ended.stdout, "", "{args:?}");
    }
}

#[test]
fn help_and_version_are_no_failure() {
    for args in [&["--help"][..], &["--version"], &["run", "--help"], &["help", "run"], &["plugin", "--help"]]
    {
        let ended = run(loophost(args));
        assert_eq!(ended.status.code(), Some(0), "{args:?}");
        assert_ne!(ended.stdout, "", "{args:?}");
        assert_eq!(ended.stderr, "", "{args:?}");
    }
}

#[test]
fn flags_after_the_program_are_the_program_s() {
    for args in [
        &["run", "echo", "--policy", "nonsense", "--", "-x"][..],
        &["run", "--", "echo", "--policy", "nonsense", "--", "-x"],
    ] {
        assert_eq!(run(loophost(args)).stdout, "--policy nonsense -- -x\n", "{args:?}");
    }
    assert_eq!(run(loophost(["run", "--", "printf", "%s", "--help"])).stdout, "--help");
    // A program may have any name.
    assert_eq!(status(&["run", "--", "--no-such-program"]).code(), Some(127));
}

#[test]
fn killed_itself_it_cannot_say_more() {
    let started = Started::new(loophost(["run", "--", "sleep", "1000"]));
    started.signal(Signal::SIGKILL);
    assert_eq!(started.wait().status.signal(), Some(libc::SIGKILL));
}
