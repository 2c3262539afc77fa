//! `loophost run` on a terminal, with a shell and without one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{ffi::OsStr, fs, os::unix::process::CommandExt, process::Command};

use loophost_tests::{
    binary, command, eventually, loophost, proc, pty::Session, require, witness::Testimony,
};
use nix::{
    sys::{
        signal::{SigSet, Signal, kill},
        wait::WaitStatus,
    },
    unistd::Pid,
};

const WITNESS: &str = env!("CARGO_BIN_EXE_witness");

/// What the keys send.
const CONTROL_C: &str = "\x03";
const CONTROL_D: &str = "\x04";
const CONTROL_Z: &str = "\x1a";
const CONTROL_BACKSLASH: &str = "\x1c";

/// A session that loophost leads, as in a container with a terminal.
fn alone<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Session {
    Session::new(loophost(args))
}

/// `loophost run -- witness…`, which leads the session.
fn alone_with(testimony: &Testimony, ends: &[&str]) -> Session {
    let run = ["run".into(), "--".into()];
    alone(run.into_iter().chain(testimony.command(WITNESS, ends)))
}

/// `loophost run -- LINE` with its output elsewhere, after the shell commands `before`.
fn redirected(before: &str, line: &str) -> Command {
    let mut command = command("sh");
    command.args(["-c", &format!("{before} exec {} run -- {line} >/dev/null", binary().display())]);
    command
}

/// An interactive shell, in which `$loophost` is the binary.
fn shell() -> Option<Session> {
    let mut session = Session::bash(&require("bash")?);
    enter(&session, &format!("loophost={}", binary().display()));
    session.expect("$ ");
    Some(session)
}

/// Types a line.
fn enter(session: &Session, line: &str) {
    session.type_in(line);
    session.type_in("\n");
}

/// The shell reads a command, runs it, and shows its output: what was typed does not look like the output.
fn shell_works(session: &mut Session) {
    enter(session, "echo still-$((40+2))-here");
    session.expect("still-42-here");
    session.expect("$ ");
    eventually("the shell in the foreground", || (session.foreground() == session.leader()).then_some(()));
}

fn is_stopped(pid: Pid) -> bool {
    proc::stat(pid).unwrap().state == 'T'
}

fn until_stopped(pid: Pid) {
    eventually("a process that is stopped", || is_stopped(pid).then_some(()));
}

/// Until the shell itself knows that its job has stopped: all its threads must have, and the shell must have been told.
fn until_job_is_stopped(session: &mut Session) {
    eventually("a job that is stopped", || {
        let before = session.screen().len();
        enter(session, "jobs");
        session.expect("$ ");
        session.screen()[before..].contains("Stopped").then_some(())
    });
}

fn until_running(pid: Pid) {
    eventually("a process that is not stopped", || (!is_stopped(pid)).then_some(()));
}

fn until_foreground(session: &Session, group: Pid) {
    eventually("the group in the foreground", || (session.foreground() == group).then_some(()));
}

#[test]
fn one_control_c_arrives_once() {
    let testimony = Testimony::new();
    let mut session = alone_with(&testimony, &["TERM=3"]);
    testimony.ready();
    session.type_in(CONTROL_C);
    testimony.expect(&["SIGINT kernel"]);
    session.type_in(CONTROL_BACKSLASH);
    testimony.expect(&["SIGINT kernel", "SIGQUIT kernel"]);
    // And what others send to loophost is forwarded as ever.
    kill(session.leader(), Signal::SIGINT).unwrap();
    testimony.expect(&["SIGINT kernel", "SIGQUIT kernel", "SIGINT process"]);
    kill(session.leader(), Signal::SIGTERM).unwrap();
    assert_eq!(session.wait(), WaitStatus::Exited(session.leader(), 3));
    testimony.expect(&["SIGINT kernel", "SIGQUIT kernel", "SIGINT process", "SIGTERM process"]);
}

#[test]
fn the_program_owns_the_terminal() {
    let testimony = Testimony::new();
    let session = alone_with(&testimony, &[]);
    let program = testimony.ready();
    assert_eq!(session.foreground(), program);
    let stat = proc::stat(program).unwrap();
    assert_eq!((stat.parent, stat.group, stat.session), (session.leader(), program, session.leader()));
}

#[test]
fn a_new_size_of_the_window_arrives_once() {
    let testimony = Testimony::new();
    let session = alone_with(&testimony, &[]);
    testimony.ready();
    session.resize(30, 100);
    testimony.expect(&["SIGWINCH kernel"]);
    kill(session.leader(), Signal::SIGUSR1).unwrap();
    testimony.expect(&["SIGWINCH kernel", "SIGUSR1 process"]);
}

#[test]
fn the_program_reads_the_terminal_to_its_end() {
    let mut session = alone(["run", "--", "sh", "-c", "while read line; do echo \"<$line>\"; done; exit 4"]);
    session.type_in("hello\n");
    session.expect("<hello>");
    session.type_in(CONTROL_D);
    assert_eq!(session.wait(), WaitStatus::Exited(session.leader(), 4));
}

#[test]
fn a_control_z_that_nobody_could_undo_is_undone() {
    let mut session = alone(["run", "--", "sh", "-c", "cat; exit 5"]);
    session.type_in("before\n");
    session.expect("before\r\nbefore");
    // The whole group of the program stops, and all of it must go on.
    session.type_in(CONTROL_Z);
    session.type_in("after\n");
    session.expect("after\r\nafter");
    session.type_in(CONTROL_D);
    assert_eq!(session.wait(), WaitStatus::Exited(session.leader(), 5));
}

#[test]
fn a_program_that_an_operator_has_stopped_stays_so() {
    let testimony = Testimony::new();
    let session = alone_with(&testimony, &[]);
    let program = testimony.ready();
    kill(program, Signal::SIGSTOP).unwrap();
    until_stopped(program);
    // loophost has seen it by the time that it has forwarded this.
    kill(session.leader(), Signal::SIGUSR1).unwrap();
    eventually("the signal at the program", || pending(program, Signal::SIGUSR1).then_some(()));
    assert!(is_stopped(program));
    kill(session.leader(), Signal::SIGCONT).unwrap();
    testimony.expect(&["SIGUSR1 process", "SIGCONT process"]);
    until_foreground(&session, program);
}

/// Whether a signal waits for the process.
fn pending(pid: Pid, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let bits = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).unwrap();
    u64::from_str_radix(bits.trim(), 16).unwrap() & 1 << (signal as i32 - 1) != 0
}

#[test]
fn a_terminal_that_hangs_up_is_reported_once() {
    // With the terminal lent to the program, and with the program in loophost's group, where the kernel tells the
    // session's leader alone.
    for is_redirected in [false, true] {
        let testimony = Testimony::new();
        let mut session = if is_redirected {
            Session::new(redirected("", &testimony.shell_command(WITNESS, &["TERM=3"])))
        } else {
            alone_with(&testimony, &["TERM=3"])
        };
        testimony.ready();
        session.hang_up();
        eventually("the hang-up", || {
            testimony.signals().contains(&"SIGHUP process".to_owned()).then_some(())
        });
        kill(session.leader(), Signal::SIGTERM).unwrap();
        assert_eq!(session.wait(), WaitStatus::Exited(session.leader(), 3));
        let hang_ups = testimony.signals().iter().filter(|line| line.starts_with("SIGHUP")).count();
        assert_eq!(hang_ups, 1, "{:?}", testimony.signals());
    }
}

#[test]
fn a_control_c_that_comes_before_the_program_is_not_lost() {
    let testimony = Testimony::new();
    // Not lent, so that the program is in the group that the terminal signals: had it been there already, it would
    // have got the INT itself.
    let line = testimony.shell_command(WITNESS, &["INT=6"]);
    let mut command = redirected("echo ready; read line;", &line);
    // SAFETY: sigprocmask is async-signal-safe, and nothing is allocated.
    unsafe {
        command.pre_exec(|| {
            let mut int = SigSet::empty();
            int.add(Signal::SIGINT);
            Ok(int.thread_block()?)
        });
    }
    let mut session = Session::new(command);
    session.expect("ready");
    session.type_in(CONTROL_C);
    eventually("a ^C that waits", || pending(session.leader(), Signal::SIGINT).then_some(()));
    session.type_in("go\n");
    testimony.ready();
    testimony.expect(&["SIGINT process"]);
    assert_eq!(session.wait(), WaitStatus::Exited(session.leader(), 6));
}

#[test]
fn without_a_terminal_at_the_streams_the_session_leader_is_not_stopped() {
    // The terminal's ^Z reaches program and loophost, and the kernel ignores it for both.
    let testimony = Testimony::new();
    let line = testimony.shell_command(WITNESS, &["INT=6"]);
    let mut session = Session::new(redirected("", &line));
    let program = testimony.ready();
    assert_eq!(proc::stat(program).unwrap().group, session.leader());
    session.type_in(CONTROL_Z);
    session.type_in(CONTROL_C);
    testimony.expect(&["SIGINT kernel"]);
    assert_eq!(session.wait(), WaitStatus::Exited(session.leader(), 6));
}

#[test]
fn the_shell_has_the_terminal_back() {
    let Some(mut session) = shell() else { return };
    for program in ["true", "sh -c 'exit 3'", "no-such-program", "sh -c 'kill -KILL $$'"] {
        enter(&session, &format!("$loophost run -- {program}"));
        session.expect("$ ");
        shell_works(&mut session);
    }
    let testimony = Testimony::new();
    enter(
        &session,
        &format!("$loophost run -- {}; echo status-$?-", testimony.shell_command(WITNESS, &["INT=3"])),
    );
    let program = testimony.ready();
    until_foreground(&session, program);
    session.type_in(CONTROL_C);
    session.expect("status-3-");
    testimony.expect(&["SIGINT kernel"]);
    session.expect("$ ");
    shell_works(&mut session);
}

#[test]
fn a_script_has_the_terminal_back() {
    // The script's shell has no job control: loophost, program and script are one group.
    let Some(mut session) = shell() else { return };
    enter(&session, r#"sh -c '"$0" run -- true; echo re""ady; read line; echo "<$line>"' $loophost"#);
    session.expect("ready");
    session.type_in("read by the script\n");
    session.expect("<read by the script>");
    session.expect("$ ");
    shell_works(&mut session);
}

#[test]
fn control_z_stops_the_job_and_fg_brings_it_back() {
    let Some(mut session) = shell() else { return };
    let testimony = Testimony::new();
    enter(
        &session,
        &format!("$loophost run -- {}; echo status-$?-", testimony.shell_command(WITNESS, &["INT=3"])),
    );
    let program = testimony.ready();
    let loophost = proc::stat(program).unwrap().parent;
    let mut expected = Vec::new();
    // More than once: each time everything must be as before.
    for _ in 0..3 {
        until_foreground(&session, program);
        session.type_in(CONTROL_Z);
        session.expect("Stopped");
        session.expect("$ ");
        assert!(is_stopped(program) && is_stopped(loophost));
        shell_works(&mut session);
        enter(&session, "fg");
        until_foreground(&session, program);
        until_running(program);
        until_running(loophost);
        expected.push("SIGCONT process");
        testimony.expect(&expected);
    }
    session.type_in(CONTROL_C);
    expected.push("SIGINT kernel");
    testimony.expect(&expected);
    session.expect("$ ");
    shell_works(&mut session);
}

#[test]
fn a_job_that_goes_on_in_the_background_leaves_the_terminal_to_the_shell() {
    let Some(mut session) = shell() else { return };
    let testimony = Testimony::new();
    enter(&session, &format!("$loophost run -- {}", testimony.shell_command(WITNESS, &["TERM=3"])));
    let program = testimony.ready();
    let loophost = proc::stat(program).unwrap().parent;
    until_foreground(&session, program);
    session.type_in(CONTROL_Z);
    session.expect("Stopped");
    session.expect("$ ");
    enter(&session, "bg");
    testimony.expect(&["SIGCONT process"]);
    until_running(loophost);
    shell_works(&mut session);
    // Also when it ends, and whoever has the terminal by then.
    let shell = session.leader();
    enter(&session, "cat");
    let cat = eventually("cat", || Some(session.foreground()).filter(|group| *group != shell));
    kill(loophost, Signal::SIGTERM).unwrap();
    testimony.expect(&["SIGCONT process", "SIGTERM process"]);
    // The shell reaps its jobs while it waits for its foreground, and reports them before the next prompt. That loophost is a
    // zombie is not enough: it may be only its first thread, and SIGCHLD is yet to come.
    eventually("that the shell reaps loophost", || proc::stat(loophost).is_none().then_some(()));
    assert_eq!(session.foreground(), cat);
    session.type_in("line\n");
    session.expect("line\r\nline");
    session.type_in(CONTROL_D);
    session.expect("Exit 3");
    session.expect("$ ");
    shell_works(&mut session);
}

#[test]
fn a_job_that_reads_in_the_background_stops_and_fg_brings_it_back() {
    let Some(mut session) = shell() else { return };
    let script = "read line; echo \"<$line>\"; exit 3";
    enter(&session, &format!("$loophost run -- sh -c '{script}'"));
    // What is typed before the program reads would be the shell's.
    eventually("the program in the foreground", || {
        let foreground = proc::stat(session.foreground())?;
        (foreground.parent != session.leader() && foreground.pid != session.leader()).then_some(())
    });
    session.type_in(CONTROL_Z);
    session.expect("Stopped");
    session.expect("$ ");
    enter(&session, "bg");
    session.expect("$ ");
    let job = eventually("the job", || Some(proc::children(session.leader()).first()?.pid));
    until_job_is_stopped(&mut session);
    assert!(is_stopped(job));
    shell_works(&mut session);
    enter(&session, "fg; echo status-$?-");
    eventually("the program in the foreground", || {
        Some(proc::stat(session.foreground())?.parent).filter(|parent| *parent == job)
    });
    session.type_in("a line\n");
    session.expect("<a line>");
    session.expect("status-3-");
    shell_works(&mut session);
}

#[test]
fn in_the_background_it_does_not_take_the_terminal() {
    let Some(mut session) = shell() else { return };
    let testimony = Testimony::new();
    enter(&session, &format!("$loophost run -- {} &", testimony.shell_command(WITNESS, &["TERM=3"])));
    session.expect("$ ");
    let program = testimony.ready();
    assert_eq!(session.foreground(), session.leader());
    session.type_in(CONTROL_C);
    session.expect("$ ");
    shell_works(&mut session);
    assert_eq!(testimony.signals(), [""; 0]);
    // In the foreground it gets what is typed, once.
    enter(&session, "fg");
    until_foreground(&session, proc::stat(program).unwrap().group);
    session.type_in(CONTROL_C);
    eventually("the INT", || testimony.signals().contains(&"SIGINT kernel".to_owned()).then_some(()));
    session.type_in(CONTROL_Z);
    session.expect("Stopped");
    session.expect("$ ");
    enter(&session, "bg");
    session.expect("$ ");
    enter(&session, "kill %1; wait %1; echo status-$?-");
    session.expect("status-3-");
    let signals = testimony.signals();
    assert_eq!(signals.iter().filter(|line| line.starts_with("SIGINT")).count(), 1, "{signals:?}");
}

#[test]
fn a_program_that_is_stopped_for_using_the_terminal_in_the_background_stops_loophost() {
    let Some(mut session) = shell() else { return };
    // Setting the terminal in the background is a TTOU for the whole group, as it is without loophost.
    enter(&session, "$loophost run -- stty sane &");
    session.expect("$ ");
    until_job_is_stopped(&mut session);
    shell_works(&mut session);
    enter(&session, "fg; echo status-$?-");
    session.expect("status-0-");
    shell_works(&mut session);
}

/// A pipeline of two witnesses, one of them run by loophost, which is ready.
fn pipeline(session: &Session, line: impl Fn(&str, &str) -> String) -> [Testimony; 2] {
    let testimonies = [Testimony::new(), Testimony::new()];
    let [direct, supervised] = &testimonies;
    let witness = |testimony: &Testimony| testimony.shell_command(WITNESS, &["INT=3"]);
    enter(session, &line(&witness(direct), &format!("$loophost run -- {}", witness(supervised))));
    for testimony in &testimonies {
        testimony.ready();
    }
    testimonies
}

/// On which side loophost may be.
const PIPELINES: [fn(&str, &str) -> String; 2] = [
    |direct, supervised| format!("{direct} | {supervised}"),
    |direct, supervised| format!("{supervised} | {direct}"),
];

#[test]
fn control_c_ends_both_sides_of_a_pipeline() {
    let Some(mut session) = shell() else { return };
    for line in PIPELINES {
        let testimonies = pipeline(&session, line);
        session.type_in(CONTROL_C);
        session.expect("$ ");
        testimonies.iter().for_each(|testimony| testimony.expect(&["SIGINT kernel"]));
        shell_works(&mut session);
        assert_eq!(proc::children(session.leader()), []);
    }
}

#[test]
fn control_z_stops_both_sides_of_a_pipeline() {
    let Some(mut session) = shell() else { return };
    for line in PIPELINES {
        let testimonies = pipeline(&session, line);
        session.type_in(CONTROL_Z);
        session.expect("Stopped");
        session.expect("$ ");
        let jobs = proc::children(session.leader());
        assert_eq!(jobs.len(), 2);
        let all = || jobs.iter().map(|job| job.pid).chain(testimonies.each_ref().map(Testimony::ready));
        all().for_each(until_stopped);
        enter(&session, "fg");
        all().for_each(until_running);
        let continued = |testimony: &Testimony| testimony.signals().contains(&"SIGCONT process".to_owned());
        eventually("the CONT", || testimonies.iter().all(continued).then_some(()));
        session.type_in(CONTROL_C);
        session.expect("$ ");
        shell_works(&mut session);
        assert_eq!(proc::children(session.leader()), []);
    }
}

#[test]
fn the_other_end_of_a_pipeline_may_use_the_terminal() {
    // As a pager does.
    let Some(mut session) = shell() else { return };
    let reader = r#"read a; echo re""ady; read b </dev/tty; echo "<$a $b>""#;
    enter(&session, &format!("$loophost run -- echo text | sh -c '{reader}'"));
    session.expect("ready");
    session.type_in("typed\n");
    session.expect("<text typed>");
    session.expect("$ ");
    shell_works(&mut session);
}

#[test]
fn the_output_of_a_substitution_leaves_the_terminal_to_the_shell() {
    let Some(mut session) = shell() else { return };
    enter(&session, r#"echo "<$($loophost run -- printf %s-%s sub stituted)>""#);
    session.expect("<sub-stituted>");
    session.expect("$ ");
    shell_works(&mut session);
}

#[test]
fn control_c_ends_a_loop_of_the_shell() {
    let Some(mut session) = shell() else { return };
    enter(
        &session,
        r#"while :; do $loophost run -- sh -c 'echo round-$$-; exec sleep 1000'; done; echo status-$?-"#,
    );
    session.expect("\r\nround-");
    session.type_in(CONTROL_C);
    session.expect("$ ");
    shell_works(&mut session);
    assert_eq!(session.screen().matches("\nround-").count(), 1, "{}", session.screen());
}

#[test]
fn control_c_ends_a_script() {
    let Some(mut session) = shell() else { return };
    for shell in ["sh", "bash"] {
        let script =
            r#"while :; do "$0" run -- sh -c "echo round-\$\$-; exec sleep 1000"; done; echo not-reached"#;
        enter(&session, &format!("{shell} -c '{script}' $loophost; echo status-$?-"));
        session.expect("\r\nround-");
        session.type_in(CONTROL_C);
        session.expect("$ ");
        shell_works(&mut session);
        assert!(!session.screen().contains("\nnot-reached"), "{}", session.screen());
    }
}

#[test]
fn a_program_that_was_interrupted_has_the_status_130() {
    let Some(mut session) = shell() else { return };
    enter(&session, "$loophost run -- sleep 1000");
    eventually("the program in the foreground", || {
        let foreground = proc::stat(session.foreground())?;
        (foreground.parent != session.leader() && foreground.pid != session.leader()).then_some(())
    });
    session.type_in(CONTROL_C);
    session.expect("$ ");
    enter(&session, "echo status-$?-");
    session.expect("status-130-");
}

#[test]
fn a_shell_may_be_the_program() {
    let Some(mut session) = shell() else { return };
    enter(&session, "PS1='in''ner> ' $loophost run -- bash --norc --noprofile -i; echo status-$?-");
    session.expect("inner> ");
    let inner = session.foreground();
    // A shell swallows what is typed before the program runs.
    enter(&session, "cat");
    let cat = eventually("cat", || Some(session.foreground()).filter(|group| *group != inner));
    session.type_in("line\n");
    session.expect("line\r\nline");
    session.type_in(CONTROL_Z);
    session.expect("Stopped");
    session.expect("inner> ");
    assert_eq!(session.foreground(), inner);
    enter(&session, "fg");
    until_foreground(&session, cat);
    session.type_in("again\n");
    session.expect("again\r\nagain");
    session.type_in(CONTROL_C);
    session.expect("inner> ");
    enter(&session, "exit 5");
    session.expect("status-5-");
    session.expect("$ ");
    shell_works(&mut session);
}

#[test]
fn a_terminal_that_stops_background_output_does_not_stop_loophost() {
    let Some(mut session) = shell() else { return };
    enter(&session, "stty tostop; $loophost --log trace run -- sh -c 'exit 3'; echo status-$?-");
    session.expect("status-3-");
    session.expect("$ ");
    shell_works(&mut session);
}
