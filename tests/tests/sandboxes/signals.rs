//! Signals that loophost's starter has left ignored or blocked.

use std::os::unix::process::CommandExt;

use loophost_tests::loophost;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};

use crate::{
    promise::{args, batch_is_kept_by, on_default, run_is_kept_by},
    sandbox::Sandbox,
};

/// What the starter does before the exec.
type Inheritance = fn() -> std::io::Result<()>;

/// All that can be caught.
fn catchable() -> impl Iterator<Item = Signal> {
    Signal::iterator().filter(|signal| !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP))
}

fn ignore_children() -> std::io::Result<()> {
    // SAFETY: nothing is run.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) }?;
    Ok(())
}

fn block_children() -> std::io::Result<()> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGCHLD);
    Ok(sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?)
}

fn ignore_all() -> std::io::Result<()> {
    for signum in catchable() {
        // SAFETY: nothing is run.
        unsafe { signal(signum, SigHandler::SigIgn) }?;
    }
    Ok(())
}

fn block_all() -> std::io::Result<()> {
    Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None)?)
}

#[test]
fn whatever_is_ignored_or_blocked_statuses_are_right() {
    let all: [Inheritance; 4] = [ignore_children, block_children, ignore_all, block_all];
    for inherit in all {
        // SAFETY: async-signal-safe calls only, and nothing is allocated.
        let prepare = |command: &mut std::process::Command| unsafe {
            command.pre_exec(inherit);
        };
        for options in on_default() {
            assert_eq!(run_is_kept_by(&Sandbox::new(), &options, prepare), "", "{options:?}");
            assert_eq!(batch_is_kept_by(&Sandbox::new(), &options, prepare), "", "{options:?}");
        }
        let mut doctor = loophost(["doctor"]);
        prepare(&mut doctor);
        let ended = Sandbox::new().run_command(doctor);
        assert!(matches!(ended.status.code(), Some(0 | 1)), "{}", ended.stderr);
    }
}

#[test]
fn a_batch_ends_by_term_whatever_its_starter_ignores_or_blocks() {
    for inherit in [ignore_all as Inheritance, block_all] {
        let mut command = loophost(args(
            "batch",
            &vec!["--ungroup".into()],
            &["sh", "-c", "echo ready; sleep 600", ":::", "1"],
        ));
        // SAFETY: async-signal-safe calls only, and nothing is allocated.
        unsafe { command.pre_exec(inherit) };
        let confined = Sandbox::new().start(command);
        confined.started.line("ready");
        confined.started.signal(Signal::SIGTERM);
        assert_eq!(confined.wait().status.code(), Some(128 + Signal::SIGTERM as i32));
    }
}

#[test]
fn a_batch_under_nohup_does_not_mind_a_hang_up() {
    let mut command = loophost(args(
        "batch",
        &vec!["--ungroup".into()],
        &["sh", "-c", "echo ready; read line; echo over", ":::", "1"],
    ));
    let (input, ours) = std::io::pipe().unwrap();
    command.stdin(input);
    // SAFETY: async-signal-safe calls only, and nothing is allocated.
    unsafe { command.pre_exec(ignore_all) };
    let confined = Sandbox::new().start(command);
    confined.started.line("ready");
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT] {
        confined.started.signal(signal);
    }
    drop(ours);
    let ended = confined.wait();
    assert_eq!((ended.status.code(), &*ended.stdout), (Some(0), "ready\nover\n"), "{}", ended.stderr);
}
