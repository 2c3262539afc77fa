//! Commands, how they fail, and handles of children.

#![allow(clippy::unwrap_used, reason = "tests")]

mod util;

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use loophost::{
    ErrorCode,
    process::{Child, Command, SignalSet, SpawnError, SpawnErrorKind, Stdio, reap, spawn},
};
use nix::{
    sys::signal::{SigHandler, Signal, kill, signal},
    unistd::Pid,
};
use util::{exists, on_each_way, sh, wait_for_zombie, wait_until};

on_each_way! {
    arguments_and_environment_arrive,
    pipes_lead_to_the_child_and_back,
    streams_can_be_null_closed_or_a_descriptor,
    a_child_gets_no_descriptor_of_ours,
    a_relative_program_starts_at_the_child_s_folder,
    a_process_group_of_its_own,
    a_group_is_signalled_as_long_as_its_leader_was_not_reaped,
    what_is_left_of_a_group_is_signalled_where_the_kernel_can,
    an_empty_group_is_gone,
    signals_are_clean_unless_told_otherwise,
    a_missing_program_is_not_found,
    a_file_that_cannot_be_executed_says_why,
    the_search_goes_on_as_execvp_s_does,
    a_bad_working_folder_is_named,
    arguments_that_cannot_be_passed_on_are_refused,
    no_signal_goes_to_a_process_that_was_reaped,
    a_real_time_signal_can_be_sent,
    an_exit_says_what_the_child_has_used,
    a_dropped_child_goes_on_and_leaves_no_zombie,
}

/// What a command writes to its standard output.
fn output(command: Command) -> String {
    let mut child = spawn(command.stdout(Stdio::Pipe)).unwrap();
    let mut text = String::new();
    File::from(child.stdout.take().unwrap()).read_to_string(&mut text).unwrap();
    text
}

fn failure(command: Command) -> SpawnError {
    spawn(command).unwrap_err()
}

/// The status of a child that is about to exit.
fn returncode(child: &Child) -> i32 {
    wait_for_zombie(child.pid());
    reap(child.pid()).unwrap();
    child.returncode().unwrap()
}

/// A folder of one test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("loophost-process-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path.canonicalize().unwrap())
    }

    fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Written by a child: a process that another test is just starting would hold our descriptor for a moment, and a
        // file that is open for writing cannot be executed.
        let script = "printf %s \"$1\" > \"$0\"";
        let written = std::process::Command::new("sh").args(["-c", script]).arg(&path).arg(text).status();
        assert!(written.unwrap().success());
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn arguments_and_environment_arrive() {
    let command = sh("echo \"$0|$1|$2|$KEPT|${HOME-unset}\"").args(["zero", "a b", ""]);
    let text = output(command.env("KEPT", "x=y").env_remove("HOME"));
    assert_eq!(text, "zero|a b||x=y|unset\n");
    let bare = Command::new("/usr/bin/env").env("LOST", "1").env_clear().env("ONLY", "2");
    assert_eq!(output(bare), "ONLY=2\n");
}

fn pipes_lead_to_the_child_and_back() {
    let mut child =
        spawn(sh("cat; echo err >&2").stdin(Stdio::Pipe).stdout(Stdio::Pipe).stderr(Stdio::Pipe)).unwrap();
    File::from(child.stdin.take().unwrap()).write_all(b"hello").unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    File::from(child.stdout.take().unwrap()).read_to_string(&mut out).unwrap();
    File::from(child.stderr.take().unwrap()).read_to_string(&mut err).unwrap();
    assert_eq!((out.as_str(), err.as_str()), ("hello", "err\n"));
    assert_eq!(returncode(&child), 0);
}

fn streams_can_be_null_closed_or_a_descriptor() {
    let folder = Folder::new();
    let path = folder.0.join("out");
    let file = File::create(&path).unwrap();
    let script = "readlink /proc/self/fd/0; if [ -e /proc/$$/fd/2 ]; then echo open; else echo closed; fi";
    let child =
        spawn(sh(script).stdin(Stdio::Null).stdout(Stdio::Fd(file.into())).stderr(Stdio::Closed)).unwrap();
    assert_eq!(returncode(&child), 0);
    assert_eq!(fs::read_to_string(path).unwrap(), "/dev/null\nclosed\n");
}

/// Descriptors of the test run itself that whoever started it lets through.
fn inherited() -> Vec<i32> {
    let may_pass = |number: &i32| {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap_or("0").trim();
        i32::from_str_radix(flags, 8).unwrap() & libc::O_CLOEXEC == 0
    };
    let numbers = fs::read_dir("/proc/self/fd").unwrap();
    numbers.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok()).filter(may_pass).collect()
}

fn a_child_gets_no_descriptor_of_ours() {
    let before = inherited();
    let _ours = spawn(sh("read line").stdin(Stdio::Pipe)).unwrap();
    let text = output(Command::new("ls").arg("/proc/self/fd"));
    let numbers: Vec<i32> = text.lines().map(|line| line.parse().unwrap()).collect();
    // The lowest number that was free is the folder that `ls` reads.
    let folder = (0..).find(|number| !before.contains(number)).unwrap();
    let strange: Vec<_> = numbers.iter().filter(|n| !before.contains(n) && **n != folder).collect();
    assert!(strange.is_empty(), "{strange:?} of {numbers:?}, inherited: {before:?}");
}

fn a_relative_program_starts_at_the_child_s_folder() {
    let folder = Folder::new();
    folder.file("here", "#!/bin/sh\npwd\n", 0o755);
    let expected = format!("{}\n", folder.0.display());
    assert_eq!(output(Command::new("./here").working_folder(&folder.0)), expected);
    assert_eq!(output(Command::new("here").env("PATH", "").working_folder(&folder.0)), expected);
}

fn a_process_group_of_its_own() {
    let field = |command| {
        let stat = output(command);
        stat.rsplit(") ").next().unwrap().split(' ').nth(2).unwrap().to_owned()
    };
    let own = nix::unistd::getpgrp().to_string();
    assert_eq!(field(Command::new("cat").arg("/proc/self/stat")), own);
    assert_ne!(field(Command::new("cat").arg("/proc/self/stat").process_group(Some(0))), own);
}

fn a_group_is_signalled_as_long_as_its_leader_was_not_reaped() {
    let command = sh("sleep 1000 & echo; wait").process_group(Some(0)).stdout(Stdio::Pipe);
    let mut child = spawn(command).unwrap();
    let mut stdout = File::from(child.stdout.take().unwrap());
    stdout.read_exact(&mut [0]).unwrap();
    child.kill().unwrap();
    wait_for_zombie(child.pid());
    child.send_signal_to_group(libc::SIGKILL).unwrap();
    assert_eq!(stdout.read(&mut [0]).unwrap(), 0, "the grandchild held it open");
    assert_eq!(returncode(&child), -9);
}

fn what_is_left_of_a_group_is_signalled_where_the_kernel_can() {
    let command = sh("sleep 1000 & echo $!").process_group(Some(0)).stdout(Stdio::Pipe);
    let mut child = spawn(command).unwrap();
    let mut stdout = BufReader::new(File::from(child.stdout.take().unwrap()));
    let mut pid = String::new();
    stdout.read_line(&mut pid).unwrap();
    assert_eq!(returncode(&child), 0);
    if let Err(error) = child.send_signal_to_group(libc::SIGKILL) {
        // Before Linux 6.9, or without a pidfd.
        assert_eq!(error.code(), ErrorCode::PROCESS_GONE);
        kill(Pid::from_raw(pid.trim().parse().unwrap()), Signal::SIGKILL).unwrap();
    }
    assert_eq!(stdout.read(&mut [0]).unwrap(), 0, "the grandchild held it open");
}

fn an_empty_group_is_gone() {
    let child = spawn(sh("exit 3").process_group(Some(0))).unwrap();
    assert_eq!(returncode(&child), 3);
    assert_eq!(child.send_signal_to_group(0).unwrap_err().code(), ErrorCode::PROCESS_GONE);
}

/// The lines of /proc/self/status of a child.
fn signals(command: Command) -> (u64, u64) {
    let status = output(command);
    let line = |name: &str| {
        let text = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(text.trim(), 16).unwrap()
    };
    (line("SigBlk:"), line("SigIgn:"))
}

fn signals_are_clean_unless_told_otherwise() {
    // What Rust's runtime has done already; said again so that the test does not depend on it.
    // SAFETY: ignoring a signal runs no code.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) }.unwrap();
    let cat = || Command::new("cat").arg("/proc/self/status");
    assert_eq!(signals(cat()), (0, 0), "all 64 of them, libc's own too");
    let set = SignalSet::EMPTY.with(libc::SIGUSR1).with(40);
    let passed_on = cat().signal_mask(set).default_signals(SignalSet::ALL.without(SignalSet::EMPTY.with(13)));
    assert_eq!(signals(passed_on), (set.bits(), 1 << 12));
}

fn a_missing_program_is_not_found() {
    let error = failure(Command::new("loophost-no-such-program").env("PATH", "/bin:/nowhere"));
    let SpawnError::NotFound { program, searched } = &error else { panic!("{error:?}") };
    assert_eq!(program, "loophost-no-such-program");
    assert_eq!(*searched, [Path::new("/bin"), Path::new("/nowhere")]);
    assert_eq!(error.kind(), SpawnErrorKind::NotFound);
    assert_eq!(error.to_string(), "loophost-no-such-program: not found in PATH (/bin:/nowhere)");
    assert!(
        matches!(failure(Command::new("/nowhere/at/all")), SpawnError::NotFound { searched, .. } if searched.is_empty())
    );
}

/// Path, error number and interpreter of a file that cannot be executed.
fn refusal(command: Command) -> (PathBuf, i32, Option<PathBuf>) {
    match failure(command) {
        SpawnError::NotExecutable { path, interpreter, source } => {
            (path, source.raw_os_error().unwrap(), interpreter)
        }
        other => panic!("{other:?}"),
    }
}

fn a_file_that_cannot_be_executed_says_why() {
    let folder = Folder::new();
    let plain = folder.file("plain", "text", 0o644);
    let garbage = folder.file("garbage", "text", 0o755);
    let script = folder.file("script", "#! /no/such/interpreter -x\n", 0o755);
    assert_eq!(refusal(Command::new(&plain)), (plain, libc::EACCES, None));
    assert_eq!(refusal(Command::new(&folder.0)), (folder.0.clone(), libc::EISDIR, None));
    assert_eq!(refusal(Command::new(&garbage)), (garbage.clone(), libc::ENOEXEC, None));
    let interpreter = Some("/no/such/interpreter".into());
    assert_eq!(refusal(Command::new(&script)), (script.clone(), libc::ENOENT, interpreter));
    let below = garbage.join("file");
    assert_eq!(refusal(Command::new(&below)), (below, libc::ENOTDIR, None));
    let error = failure(Command::new(&script));
    assert_eq!(error.kind(), SpawnErrorKind::NotExecutable);
    assert!(error.to_string().contains("/no/such/interpreter"), "{error}");
    let error = failure(Command::new(folder.file("crlf", "#!/bin/sh\r\necho\r\n", 0o755)));
    assert!(error.to_string().contains("its interpreter /bin/sh\\r cannot"), "{error}");
}

fn the_search_goes_on_as_execvp_s_does() {
    let folder = Folder::new();
    folder.file("first/tool", "text", 0o644);
    folder.file("second/tool", "#!/bin/sh\necho second\n", 0o755);
    fs::create_dir(folder.0.join("third")).unwrap();
    symlink("/bin", folder.0.join("third/tool")).unwrap();
    let path = |names: &[&str]| std::env::join_paths(names.iter().map(|name| folder.0.join(name))).unwrap();
    let tool = || Command::new("tool");
    assert_eq!(output(tool().env("PATH", path(&["none", "first", "third", "second"]))), "second\n");
    let (refused, errno, _) = refusal(tool().env("PATH", path(&["none", "first", "third"])));
    assert_eq!((refused, errno), (folder.0.join("first/tool"), libc::EACCES), "the first of them");
}

fn a_bad_working_folder_is_named() {
    let folder = Folder::new();
    let file = folder.file("file", "", 0o644);
    for (path, errno) in [(folder.0.join("none"), libc::ENOENT), (file, libc::ENOTDIR)] {
        let SpawnError::BadWorkingFolder { path: named, source } = failure(sh("").working_folder(&path))
        else {
            panic!("{path:?}")
        };
        assert_eq!((named, source.raw_os_error()), (path, Some(errno)));
    }
}

fn arguments_that_cannot_be_passed_on_are_refused() {
    let wrong = [
        Command::new(""),
        Command::new("a\0b"),
        sh("").arg("a\0b"),
        sh("").env("A", "a\0b"),
        sh("").env("A\0B", ""),
        sh("").env("A=B", ""),
        sh("").env("", ""),
        sh("").process_group(Some(-1)),
    ];
    for command in wrong {
        let error = failure(command);
        assert!(matches!(error, SpawnError::InvalidArgument { .. }), "{error:?}");
        assert_eq!(error.kind(), SpawnErrorKind::Failed);
    }
}

fn no_signal_goes_to_a_process_that_was_reaped() {
    let child = spawn(sh("exec sleep 1000")).unwrap();
    child.send_signal(0).unwrap();
    assert_eq!(child.send_signal(65).unwrap_err().code(), ErrorCode::INVALID_ARGUMENT);
    child.terminate().unwrap();
    wait_for_zombie(child.pid());
    child.kill().unwrap();
    assert_eq!(child.returncode(), None, "nobody has looked yet");
    assert_eq!(returncode(&child), -15);
    for refused in [child.kill(), child.terminate(), child.send_signal(0)] {
        assert_eq!(refused.unwrap_err().code(), ErrorCode::PROCESS_GONE);
    }
}

fn a_real_time_signal_can_be_sent() {
    let child = spawn(sh("exec sleep 1000")).unwrap();
    child.send_signal(40).unwrap();
    assert_eq!(returncode(&child), -40);
}

fn an_exit_says_what_the_child_has_used() {
    let child = spawn(sh("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exit 3")).unwrap();
    wait_for_zombie(child.pid());
    let loophost::host::Reaped::Exited(exit) = reap(child.pid()).unwrap() else { panic!() };
    assert_eq!(exit.returncode(), 3);
    assert!(exit.utime_us + exit.stime_us > 0 && exit.maxrss_kb > 0, "{exit:?}");
    assert_eq!(reap(child.pid()).unwrap(), loophost::host::Reaped::NotOurs, "once only");
    assert_eq!(reap(0).unwrap_err().code(), ErrorCode::INVALID_ARGUMENT);
}

fn a_dropped_child_goes_on_and_leaves_no_zombie() {
    let mut children: Vec<_> = (0..10).map(|_| spawn(sh("read line").stdin(Stdio::Pipe)).unwrap()).collect();
    let pids: Vec<_> = children.iter().map(Child::pid).collect();
    let pipes: Vec<_> = children.iter_mut().map(|child| child.stdin.take()).collect();
    drop(children);
    assert!(pids.iter().all(|pid| exists(*pid)), "they are not killed");
    drop(pipes);
    for pid in pids {
        wait_until("the reaper takes it", || !exists(pid));
    }
}
