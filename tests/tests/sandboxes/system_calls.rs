//! System calls that a filter refuses, or kills for.

use libc::{EINVAL, ENOMEM, ENOSPC, ENOSYS, EPERM, SIGSYS};
use loophost_tests::{Plugins, loophost};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::{os::unix::process::ExitStatusExt, process::Command};

use crate::{
    promise::{Options, args, batch, kept, on_default, on_poll, plugins, refused},
    sandbox::{Sandbox, filters_work},
};

/// A call that is forbidden in each of the usual ways.
fn refused_and_killing(call: i64) -> [Sandbox; 3] {
    let sandbox = Sandbox::new;
    [sandbox().refusing(call, EPERM), sandbox().refusing(call, ENOSYS), sandbox().killing(call)]
}

fn refusals(call: i64) -> [Sandbox; 2] {
    let [eperm, enosys, _] = refused_and_killing(call);
    [eperm, enosys]
}

fn on_both(plugins: &Plugins) -> Vec<Options> {
    [on_default(), on_poll(plugins)].concat()
}

fn asks_for(watcher: &str, options: &Options) -> bool {
    options.iter().any(|option| option == watcher)
}

/// Both subcommands work with all options, without a word.
fn is_quiet(sandbox: &Sandbox, all: &[Options]) {
    for options in all {
        assert_eq!(kept(sandbox, options), ["", ""], "{options:?}");
    }
}

/// Both subcommands end with 125 and these words.
fn is_refused(sandbox: &Sandbox, all: &[Options], words: &[&str]) {
    for options in all {
        for args in [args("run", options, &["echo", "started"]), batch(options)] {
            let ended = sandbox.run(&args);
            let message = refused(&ended, &format!("{args:?}"));
            assert!(words.iter().all(|word| message.contains(word)), "{args:?}: {message}");
            assert_eq!(ended.stdout, "", "{args:?} has started something");
        }
    }
}

#[test]
fn without_pidfds_threads_wait() {
    if !filters_work() {
        return;
    }
    let plugins = plugins();
    for sandbox in refused_and_killing(libc::SYS_pidfd_open) {
        for options in on_both(&plugins) {
            for complaints in kept(&sandbox, &options) {
                // Who has asked for pidfds is told.
                let falls_back = complaints.contains("PidfdChildWatcher does not work here");
                assert_eq!(falls_back, asks_for("pidfd", &options), "{options:?}: {complaints}");
                assert!(falls_back || complaints.is_empty(), "{options:?}: {complaints}");
            }
        }
    }
}

/// The probe's outcome, the chain and the reasons.
#[test]
fn doctor_tells_of_forbidden_pidfds_and_what_is_used_instead() {
    if !filters_work() {
        return;
    }
    let report = |sandbox: &Sandbox, options: &[&str]| {
        let ended = sandbox.run([["doctor", "--json"].as_slice(), options].concat());
        let report: Value = serde_json::from_str(&ended.stdout).unwrap();
        let findings = report["findings"].as_array().unwrap().clone();
        let value = move |id: &str| {
            let finding = findings.iter().find(|finding| finding["id"] == id).unwrap();
            (finding["level"].as_str().unwrap().to_owned(), finding["value"].as_str().unwrap().to_owned())
        };
        (value, report["choices"][1]["chain"].clone())
    };
    let reasons = ["Operation not permitted", "Function not implemented", "SIGSYS"];
    for (sandbox, reason) in refused_and_killing(libc::SYS_pidfd_open).iter().zip(reasons) {
        let (value, chain) = report(sandbox, &[]);
        assert_eq!(chain, json!(["threaded"]));
        for (id, level) in [("events.pidfd", "note"), ("choice.chain", "ok")] {
            let (its_level, value) = value(id);
            assert!(its_level == level && value.contains(reason), "{id}: {its_level} {value}");
        }
        assert!(value("choice.watcher").1.contains("threaded, for pidfds do not work here"));
        assert_eq!(report(sandbox, &["--watcher", "safe"]).1, json!(["safe", "threaded"]));
        assert_eq!(report(sandbox, &["--watcher", "pidfd"]).0("choice.watcher").0, "problem");
    }
}

#[test]
fn a_pidfd_that_cannot_be_waited_for_is_not_used() {
    if !filters_work() {
        return;
    }
    let plugins = plugins();
    let only_pids = |errno| Sandbox::new().refusing_if(libc::SYS_waitid, (0, libc::P_PIDFD.into()), errno);
    for errno in [EINVAL, EPERM, ENOSYS] {
        for options in on_both(&plugins) {
            let said = kept(&only_pids(errno), &options).concat();
            assert_eq!(said.is_empty(), !asks_for("pidfd", &options), "{options:?}: {said}");
        }
    }
}

#[test]
fn without_waitid_statuses_are_right() {
    if !filters_work() {
        return;
    }
    let plugins = plugins();
    for sandbox in refusals(libc::SYS_waitid) {
        for options in on_both(&plugins) {
            let said = kept(&sandbox, &options).concat();
            assert_eq!(said.is_empty(), !asks_for("pidfd", &options), "{options:?}: {said}");
        }
    }
}

/// Such a process is a zombie to whoever looks at its pid, and lives.
#[test]
fn without_waitid_a_program_may_outlive_its_first_thread() {
    if !filters_work() {
        return;
    }
    const SOURCE: &str = "#include <pthread.h>\n#include <stdlib.h>\n#include <unistd.h>\n\
        static void *rest(void *unused) { usleep(300000); exit(7); }\n\
        int main(void) { pthread_t thread; pthread_create(&thread, 0, rest, 0); pthread_exit(0); }\n";
    let folder = tempfile::tempdir().unwrap();
    let (source, program) = (folder.path().join("outlives.c"), folder.path().join("outlives"));
    std::fs::write(&source, SOURCE).unwrap();
    // The linker that Rust uses too.
    let compiled = Command::new("cc").arg("-pthread").arg("-o").arg(&program).arg(&source).status().unwrap();
    assert!(compiled.success());
    for sandbox in refusals(libc::SYS_waitid) {
        for watcher in ["auto", "pidfd", "threaded", "safe", "fast", "multi-loop"] {
            let mut command = loophost(["--log", "error", "run", "--watcher", watcher, "--"]);
            command.arg(&program);
            assert_eq!(sandbox.run_command(command).status.code(), Some(7), "{watcher}");
        }
    }
}

#[test]
fn signals_reach_the_program_without_pidfd_send_signal() {
    if !filters_work() {
        return;
    }
    let plugins = plugins();
    let script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done";
    for sandbox in refusals(libc::SYS_pidfd_send_signal) {
        for options in on_both(&plugins) {
            let confined = sandbox.start(loophost(args("run", &options, &["sh", "-c", script])));
            confined.started.line("ready");
            confined.started.signal(Signal::SIGTERM);
            let ended = confined.wait();
            assert_eq!(ended.status.code(), Some(7), "{options:?}: {}", ended.stderr);
            assert_eq!(ended.stderr, "", "{options:?}");
            kept(&sandbox, &options);
        }
    }
}

#[test]
fn without_epoll_the_message_names_poll_and_poll_runs() {
    if !filters_work() {
        return;
    }
    let plugins = plugins();
    for call in [libc::SYS_epoll_create1, libc::SYS_epoll_ctl] {
        for sandbox in refusals(call) {
            is_refused(&sandbox, &on_default(), &["epoll is forbidden here", "poll, may work"]);
            is_quiet(&sandbox, &on_poll(&plugins));
            // The default is what one falls back to.
            is_refused(&sandbox, &[vec!["--fallback".into()]], &["epoll is forbidden here"]);
        }
        is_quiet(&Sandbox::new().killing(call), &on_poll(&plugins));
    }
}

#[test]
fn an_epoll_that_takes_no_more_is_an_error() {
    if !filters_work() {
        return;
    }
    let plugins = plugins();
    for errno in [ENOSPC, ENOMEM] {
        let sandbox = Sandbox::new().refusing(libc::SYS_epoll_ctl, errno);
        is_refused(&sandbox, &on_default(), &["making a selector"]);
        is_quiet(&sandbox, &on_poll(&plugins));
        // The loop itself can be made, of the first descriptors; those that come later cannot be watched.
        for descriptor in 4..12 {
            let sandbox = Sandbox::new().refusing_above(libc::SYS_epoll_ctl, (2, descriptor), errno);
            says_why_or_works(&sandbox);
        }
    }
}

/// Whatever comes of it, it is told, and nobody is left.
fn says_why_or_works(sandbox: &Sandbox) {
    for options in on_default() {
        for (args, status) in [(args("run", &options, &["sh", "-c", "exit 3"]), 3), (batch(&options), 123)] {
            let ended = sandbox.run(&args);
            if ended.status.code() != Some(status) {
                refused(&ended, &format!("{args:?}"));
            }
        }
    }
}

#[test]
fn what_loophost_cannot_do_without_is_named() {
    if !filters_work() {
        return;
    }
    let plugins = plugins();
    let both = on_both(&plugins);
    for sandbox in refusals(libc::SYS_eventfd2) {
        is_refused(&sandbox, &on_default(), &["eventfd is forbidden"]);
        is_refused(&sandbox, &on_poll(&plugins), &["starting the thread that"]);
    }
    for sandbox in refusals(libc::SYS_signalfd4) {
        is_refused(
            &sandbox,
            &both,
            &["starting the thread that receives signals: making a signalfd", "doctor"],
        );
    }
    // The C library makes threads by clone3 and takes any other error than ENOSYS as final.
    is_refused(&Sandbox::new().refusing(libc::SYS_clone3, EPERM), &both, &["starting the thread that"]);
}

#[test]
fn what_loophost_does_not_need_may_be_forbidden() {
    if !filters_work() {
        return;
    }
    let plugins = plugins();
    let both = on_both(&plugins);
    is_quiet(&Sandbox::new().refusing(libc::SYS_clone3, ENOSYS), &both);
    for errno in [EPERM, EINVAL] {
        let pidfd_at_birth = (0, libc::CLONE_PIDFD as u64);
        is_quiet(&Sandbox::new().refusing_flag(libc::SYS_clone, pidfd_at_birth, errno), &both);
    }
    for call in [libc::SYS_timerfd_create, libc::SYS_memfd_create, libc::SYS_io_uring_setup] {
        for sandbox in refused_and_killing(call) {
            is_quiet(&sandbox, &on_default()[..1]);
            is_quiet(&sandbox, &on_poll(&plugins)[..1]);
        }
    }
}

/// Where programs that were meant to die with loophost cannot be told so.
fn without_death_signals() -> Vec<Sandbox> {
    let prctl = (0, libc::PR_SET_PDEATHSIG as u64);
    let mut sandboxes: Vec<_> =
        [EPERM, EINVAL, ENOSYS].map(|errno| Sandbox::new().refusing_if(libc::SYS_prctl, prctl, errno)).into();
    sandboxes.push(Sandbox::new().killing_if(libc::SYS_prctl, prctl));
    // An old kernel or an emulator: no child may run in our memory, and so posix_spawn starts them.
    let wipe = (2, libc::MADV_WIPEONFORK as u64);
    sandboxes.push(Sandbox::new().refusing_if(libc::SYS_madvise, wipe, EINVAL));
    sandboxes
}

#[test]
fn without_death_signals_batch_works_and_warns() {
    if !filters_work() {
        return;
    }
    for sandbox in without_death_signals() {
        for options in on_default() {
            let [run, batch] = kept(&sandbox, &options);
            assert_eq!(run, "");
            assert!(
                batch.contains("jobs will go on if loophost is killed") && batch.lines().count() == 1,
                "{batch}"
            );
        }
    }
}

#[test]
fn without_death_signals_plugins_are_checked_with_a_warning() {
    if !filters_work() {
        return;
    }
    for sandbox in without_death_signals() {
        let ended = sandbox.run(["plugin", "check", "default", "--only", "loop/timer-*"]);
        assert_eq!(ended.status.code(), Some(0), "{}{}", ended.stdout, ended.stderr);
        assert!(ended.stderr.contains("cases will go on if loophost is killed"), "{}", ended.stderr);
    }
}

/// No program with threads survives this: the C library itself makes them by clone3. Nothing is started before.
#[test]
fn where_clone3_kills_nothing_is_left() {
    if !filters_work() {
        return;
    }
    let sandbox = Sandbox::new().killing(libc::SYS_clone3);
    for args in [args("run", &vec![], &["echo", "started"]), args("batch", &vec![], &["echo", ":::", "1"])] {
        let confined = sandbox.start(loophost(&args));
        let ended = confined.started.wait();
        assert!(
            ended.status.signal() == Some(SIGSYS) || ended.status.code() == Some(125),
            "{}",
            ended.status
        );
        assert_eq!(ended.stdout, "");
        assert_eq!(confined.processes(), []);
    }
}

/// What stops `run` or `batch` is a problem for doctor too, and named.
#[test]
fn doctor_finds_what_nothing_can_run_without() {
    if !filters_work() {
        return;
    }
    let sandbox = Sandbox::new;
    for (sandbox, id, level) in [
        (sandbox().refusing(libc::SYS_clone3, EPERM), "making.thread", "problem"),
        (sandbox().killing(libc::SYS_clone3), "making.thread", "problem"),
        (sandbox().refusing(libc::SYS_signalfd4, EPERM), "making.signalfd", "problem"),
        (sandbox().killing(libc::SYS_signalfd4), "making.signalfd", "problem"),
        (sandbox().refusing(libc::SYS_eventfd2, ENOSYS), "making.eventfd", "problem"),
        (sandbox().refusing(libc::SYS_dup3, EPERM), "making.child", "problem"),
        (sandbox().refusing(libc::SYS_setsid, EPERM), "making.session", "problem"),
    ]
    .into_iter()
    .chain(without_death_signals().into_iter().map(|sandbox| (sandbox, "making.death_signal", "warning")))
    {
        let ended = sandbox.run(["doctor", "--json"]);
        let report: Value = serde_json::from_str(&ended.stdout).unwrap();
        let found =
            report["findings"].as_array().unwrap().iter().find(|finding| finding["id"] == id).unwrap();
        assert_eq!(found["level"], level, "{found}");
        assert!(found["advice"].is_string(), "{found}");
        assert_eq!(ended.status.code(), Some(i32::from(level == "problem")), "{report:#}");
    }
}

#[test]
fn doctor_survives_what_it_examines() {
    if !filters_work() {
        return;
    }
    for call in [
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_send_signal,
        libc::SYS_epoll_create1,
        libc::SYS_epoll_ctl,
        libc::SYS_io_uring_setup,
        libc::SYS_eventfd2,
        libc::SYS_signalfd4,
        libc::SYS_clone3,
        libc::SYS_memfd_create,
        libc::SYS_timerfd_create,
        libc::SYS_waitid,
    ] {
        for sandbox in refused_and_killing(call) {
            for json in [None, Some("--json")] {
                let ended = sandbox.run(["doctor"].into_iter().chain(json));
                assert!(matches!(ended.status.code(), Some(0 | 1)), "{call}: {}", ended.stderr);
                assert!(ended.stdout.contains("io_uring"), "{call}: {}", ended.stdout);
                assert_eq!(ended.stderr, "", "{call}");
            }
        }
    }
}
