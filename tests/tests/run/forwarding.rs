//! Signals: each is forwarded, once.

use std::os::unix::process::CommandExt;

use loophost_tests::{Plugins, Started, loophost, proc, run, witness::Testimony};
use nix::{
    sys::signal::{SigHandler, SigSet, Signal, kill, signal},
    unistd::Pid,
};

use crate::WITNESS;

const FORWARDED: [Signal; 8] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
    Signal::SIGCONT,
];

#[test]
fn each_signal_arrives_once() {
    let plugins = Plugins::new();
    for setup in plugins.setups() {
        let testimony = Testimony::new();
        let started = Started::new(loophost(setup.run(testimony.command(WITNESS, &["TERM=3"]))));
        testimony.ready();
        let mut expected = Vec::new();
        // Each comes after the one before has arrived, or the kernel would merge what comes twice. The last one ends the
        // program.
        for signal in
            FORWARDED.into_iter().filter(|signal| *signal != Signal::SIGTERM).chain([Signal::SIGTERM])
        {
            started.signal(signal);
            expected.push(format!("{signal} process"));
            let expected: Vec<_> = expected.iter().map(String::as_str).collect();
            testimony.expect(&expected);
        }
        let ended = started.wait();
        assert_eq!(ended.status.code(), Some(3), "{setup:?}: {}", ended.stderr);
        assert_eq!(ended.stderr, "", "{setup:?}");
        assert_eq!(testimony.signals(), expected, "{setup:?}");
    }
}

#[test]
fn a_server_that_exits_3_on_term_gives_3() {
    let plugins = Plugins::new();
    for setup in plugins.setups() {
        let script = "trap 'exit 3' TERM; echo ready; while :; do sleep 1000 & wait; done";
        let started = Started::new(loophost(setup.run(["sh", "-c", script])));
        started.line("ready");
        started.signal(Signal::SIGTERM);
        assert_eq!(started.wait().status.code(), Some(3), "{setup:?}");
    }
}

#[test]
fn a_program_that_does_not_care_ends_by_the_signal() {
    for (signal, status) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143), (Signal::SIGHUP, 129)] {
        let started = Started::new(loophost(["run", "--", "sh", "-c", "echo ready; exec sleep 1000"]));
        started.line("ready");
        started.signal(signal);
        assert_eq!(started.wait().status.code(), Some(status));
    }
}

#[test]
fn a_signal_that_comes_before_the_program_is_forwarded() {
    let testimony = Testimony::new();
    let mut command = loophost(["run", "--"]);
    command.args(testimony.command(WITNESS, &["TERM=3"]));
    // SAFETY: both calls are async-signal-safe, and nothing is allocated.
    unsafe {
        command.pre_exec(|| {
            let mut term = SigSet::empty();
            term.add(Signal::SIGTERM);
            term.thread_block()?;
            // To the process, not to this thread, as everybody else does.
            Ok(kill(Pid::this(), Signal::SIGTERM)?)
        });
    }
    assert_eq!(run(command).status.code(), Some(3));
    assert_eq!(testimony.signals(), ["SIGTERM process"]);
}

#[test]
fn signals_that_were_ignored_are_forwarded_to_a_program_that_wants_them() {
    // As under nohup(1), and in the background of a script.
    for ignored in [Signal::SIGHUP, Signal::SIGINT] {
        let testimony = Testimony::new();
        let mut command = loophost(["run", "--"]);
        command.args(testimony.command(WITNESS, &["HUP=4", "INT=4"]));
        // SAFETY: the call is async-signal-safe, and SIG_IGN runs no code.
        unsafe {
            command.pre_exec(move || {
                signal(ignored, SigHandler::SigIgn)?;
                Ok(())
            });
        }
        let started = Started::new(command);
        testimony.ready();
        started.signal(ignored);
        assert_eq!(started.wait().status.code(), Some(4));
        assert_eq!(testimony.signals(), [format!("{ignored} process")]);
    }
}

#[test]
fn many_signals_are_too_many_for_nobody() {
    let testimony = Testimony::new();
    let started = Started::new(loophost(
        ["run".into(), "--".into()].into_iter().chain(testimony.command(WITNESS, &["TERM=0"])),
    ));
    testimony.ready();
    for _ in 0..2000 {
        started.signal(Signal::SIGUSR1);
    }
    started.signal(Signal::SIGTERM);
    assert_eq!(started.wait().status.code(), Some(0));
    let signals = testimony.signals();
    assert_eq!(signals.last().unwrap(), "SIGTERM process");
    assert!(signals.contains(&"SIGUSR1 process".to_owned()));
}

#[test]
fn without_a_terminal_the_program_stays_in_loophost_s_group() {
    let testimony = Testimony::new();
    let mut command = loophost(["run", "--"]);
    command.args(testimony.command(WITNESS, &[]));
    let started = Started::new(command);
    let program = proc::stat(testimony.ready()).unwrap();
    assert_eq!((program.parent, program.group), (started.pid(), started.pid()));
}
