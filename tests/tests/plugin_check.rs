//! `plugin check`: what passes, what each broken plugin is told, and what a script can rely on.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs::{self, File},
    io::Read,
    process::{Command, Stdio},
};

use loophost_tests::{
    Ended, Plugins, Started, c_plugin, eventually, lines, loop_plugins, loophost, proc, run, workspace,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

/// `plugin check ARGS…`
fn check(args: &[&str]) -> Ended {
    run(check_command(args))
}

fn check_command(args: &[&str]) -> Command {
    loophost(["plugin", "check"].iter().chain(args))
}

/// The objects that it prints, and its exit status.
fn check_json(args: &[&str]) -> (Vec<Value>, Option<i32>) {
    let ended = check(&[&["--json"], args].concat());
    let objects = ended.stdout.lines().map(|line| {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}; {}", ended.stderr))
    });
    (objects.collect(), ended.status.code())
}

/// Nothing fails, and not everything is skipped.
fn passes(plugin: &str) -> Vec<Value> {
    let (cases, status) = check_json(&[plugin]);
    let bad: Vec<_> =
        cases.iter().filter(|case| case["result"] != "passed" && case["result"] != "skipped").collect();
    assert!(bad.is_empty() && status == Some(0), "{plugin}: status {status:?}, {bad:#?}");
    let passed = cases.iter().filter(|case| case["result"] == "passed").count();
    // Of those about operations, none passes on a loop that has none.
    assert!(passed * 10 > cases.len() * 7, "{plugin}: only {passed} of {} have passed", cases.len());
    cases
}

/// The same of a loop, and what it skips is in its row of the table in `ABI-REVIEW.md`.
fn loop_passes(name: &str, plugin: &str) {
    let page = fs::read_to_string(workspace().join("plugin-api/ABI-REVIEW.md")).unwrap();
    let row = page.lines().find(|line| line.starts_with(&format!("| {name} |"))).unwrap();
    let is_documented = |case: &str| {
        let mut patterns = row.split('`').skip(1).step_by(2);
        patterns
            .any(|pattern| pattern.strip_suffix('*').map_or(case == pattern, |start| case.starts_with(start)))
    };
    for case in passes(plugin).iter().filter(|case| case["result"] == "skipped") {
        assert!(is_documented(case["case"].as_str().unwrap()), "{name}: {case:#}");
    }
}

#[test]
fn the_built_ins_pass() {
    loop_passes("default", "default");
    for name in loophost::builtin::WATCHERS {
        passes(name);
    }
}

#[test]
fn shipped_plugins_and_examples_pass() {
    let packages = ["selector-policy", "limited-policy", "quiet-watcher"];
    let plugins = Plugins::of(&packages);
    let mut files: Vec<_> = packages
        .iter()
        .map(|package| plugins.file(&format!("lib{}.so", package.replace('-', "_"))))
        .collect();
    let in_c = c_plugin("tests/c-fixtures/forwarding.c", "forwarding", &[]);
    files.extend(in_c.and_then(|file| plugins.add(Some(file))));
    for loop_plugin in loop_plugins() {
        let file = plugins.add(Some(loop_plugin.file)).unwrap();
        loop_passes(loop_plugin.name, file.to_str().unwrap());
    }
    for file in files {
        passes(file.to_str().unwrap());
    }
}

#[test]
fn a_plugin_that_cannot_be_loaded_is_no_result() {
    let plugins = Plugins::of(&[
        "loophost-fixture-abi-minor",
        "loophost-fixture-panic-in-init",
        "loophost-fixture-undefined-symbol",
        "loophost-fixture-other-layout",
        "loophost-fixture-plain-library",
    ]);
    for name in ["abi_minor", "panic_in_init", "undefined_symbol", "other_layout", "plain_library"] {
        let file = plugins.file(&format!("libloophost_fixture_{name}.so"));
        let checked = check(&[file.to_str().unwrap()]);
        let loaded = run(loophost(["run", "--policy", file.to_str().unwrap(), "--", "true"]));
        assert_eq!((checked.status.code(), loaded.status.code()), (Some(125), Some(125)), "{name}");
        assert_eq!(checked.stderr, loaded.stderr, "{name}");
    }
    let unknown = check(&["no-such-plugin"]);
    assert_eq!(unknown.status.code(), Some(125));
    assert!(unknown.stderr.contains("there is no plugin of this name"), "{}", unknown.stderr);
}

#[test]
fn one_offer_and_some_cases_can_be_picked() {
    let plugins = Plugins::of(&["loophost-poll"]);
    let offer = format!("{}#poll", plugins.file("libloophost_poll.so").display());
    let (cases, status) = check_json(&[&offer, "--only", "loop/call-*", "--only", "plugin/metadata"]);
    let mut names: Vec<_> = cases.iter().map(|case| case["case"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(
        (names, status),
        (vec!["loop/call-order-mixed", "loop/call-soon-order", "plugin/metadata"], Some(0))
    );
    for case in &cases {
        assert!(
            case["meaning"].as_str().unwrap().len() > 10 && case["duration"].as_f64().unwrap() > 0.0,
            "{case:#}"
        );
    }
    for (args, message) in [
        (["default", "--only", "no/such-case"], "no case has such a name"),
        (["default", "--only", "["], "--only ["),
        (["default", "--in-process", "--jobs=2"], "cannot be used with"),
    ] {
        let ended = check(&args);
        assert_eq!(ended.status.code(), Some(125), "{args:?}");
        assert!(ended.stderr.contains(message), "{args:?}: {}", ended.stderr);
    }
    let mut command = check_command(&["default"]);
    command.env("TMPDIR", "/no/such/folder");
    let ended = run(command);
    assert_eq!(ended.status.code(), Some(125));
    assert!(ended.stderr.contains("in /no/such/folder: No such file"), "{}", ended.stderr);
    let offer = format!("{}#other", plugins.file("libloophost_poll.so").display());
    let ended = check(&[&offer]);
    assert_eq!(ended.status.code(), Some(125));
    assert!(ended.stderr.contains("it offers no other; it offers poll"), "{}", ended.stderr);
}

#[test]
fn all_cases_run_in_one_process_too() {
    for name in ["default", "auto"] {
        let ended = check(&[name, "--in-process"]);
        assert_eq!(ended.status.code(), Some(0), "{}\n{}", ended.stdout, ended.stderr);
    }
}

#[test]
fn the_list_runs_nothing() {
    let all = check(&["--list"]).stdout;
    for case in [
        "loop/call-soon-order ",
        "watcher/replaces-handler ",
        "policy/loop-per-thread ",
        "plugin/constructor-keeps-signals ",
    ] {
        assert!(all.lines().any(|line| line.starts_with(case)), "{case}: {all}");
    }
    let of_watcher = check(&["pidfd", "--list"]).stdout;
    assert!(of_watcher.contains("watcher/") && !of_watcher.contains("policy/"), "{of_watcher}");
}

#[test]
fn the_report_for_people_ends_with_the_failures() {
    let ended = run(fault_command(
        &broken(),
        "wrong-order",
        &["--only", "loop/call-soon-order", "--only", "loop/has-name"],
    ));
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    let expected = "
failed loop/call-soon-order of policy policy
    must hold: callbacks run in the order in which they were given, new ones in the next turn
    but: expected [first, second], got [second, first] (testkit event_loop/calls.rs:";
    assert!(ended.stdout.contains(expected), "{}", ended.stdout);
    assert!(ended.stdout.contains("\n2 cases: 1 passed, 1 failed; loaded in "), "{}", ended.stdout);
    assert!(!ended.stdout.contains('\x1b'), "colour is for terminals");
}

#[test]
fn what_can_only_be_made_with_options_gets_them() {
    let plugins = broken();
    let offer = offer(&plugins, "watcher");
    let cases = ["--only", "watcher/has-name", "--only", "plugin/constructor-works"];
    let without = check(&[&[&*offer], &cases[..]].concat());
    assert_eq!(without.status.code(), Some(1));
    for part in ["option fault is missing", "--watcher-opt KEY=VALUE gives them (fault)", "it cannot be made"]
    {
        assert!(without.stdout.contains(part), "{part}: {}", without.stdout);
    }
    let with = ["--watcher-opt", "fault=none"];
    for more in [&with[..], &[&with[..], &["--in-process"]].concat()] {
        let ended = check(&[&[&*offer], &cases[..], more].concat());
        assert_eq!(ended.status.code(), Some(0), "{}{}", ended.stdout, ended.stderr);
    }
    for (option, part) in [("no-such=1", "has no option no-such"), ("fault", "KEY=VALUE")] {
        let ended = check(&[&offer, "--watcher-opt", option]);
        assert_eq!(ended.status.code(), Some(125));
        assert!(ended.stderr.contains(part), "{}", ended.stderr);
    }
    let built_in = check(&["fast", "--watcher-opt", "polite=true", "--only", "watcher/leaves-others-alone"]);
    assert_eq!(built_in.status.code(), Some(0), "{}", built_in.stdout);
}

/// Whoever reads the status must not take it for a success.
#[test]
fn a_report_that_is_not_read_is_no_success() {
    let full = |args: &[&str]| {
        let mut command = check_command(args);
        command.stdout(File::options().write(true).open("/dev/full").unwrap());
        command.output().unwrap()
    };
    let closed = |args: &[&str]| {
        let mut command = check_command(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        child.wait_with_output().unwrap()
    };
    for args in [&["default", "--only", "loop/*"][..], &["default", "--only", "loop/*", "--json"]] {
        for (output, reason) in [(full(args), "No space left"), (closed(args), "Broken pipe")] {
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(125), "{stderr}");
            assert!(stderr.contains(reason) && stderr.contains("not complete"), "{stderr}");
        }
    }
    // A list is not judged.
    assert_eq!(closed(&["--list"]).status.code(), Some(0));
}

#[test]
fn megabytes_of_output_and_a_fork_do_no_harm() {
    let made = ["--only", "plugin/constructor-works", "--only", "loop/has-name"];
    for fault in ["chatters", "forks"] {
        let ended = run(fault_command(&broken(), fault, &made));
        assert_eq!(ended.status.code(), Some(0), "{fault}: {}{}", ended.stdout, ended.stderr);
        assert!(ended.stdout.contains("2 cases: 2 passed"), "{fault}: {}", ended.stdout);
    }
}

/// What a case starts is killed and reaped, in whatever group it is, and does not keep the check from ending.
#[test]
fn what_a_case_leaves_behind_is_killed() {
    let pids = leave_processes("leaves-processes", |command, _| {
        let ended = run(command);
        assert_eq!(ended.status.code(), Some(0), "{}{}", ended.stdout, ended.stderr);
    });
    // Nobody waits here: all of them are gone when the check is.
    assert!(pids.len() >= 4 && pids.iter().all(|pid| proc::stat(*pid).is_none()), "{pids:?}");
}

/// A check that is ended takes all that its cases have started with it, and says by what.
#[test]
fn a_signal_ends_cases_and_what_they_have_started() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let pids = leave_processes("leaves-processes-and-hangs", |command, written| {
            let started = Started::new(command);
            eventually("processes that a case has left", || (written().len() >= 2).then_some(()));
            started.signal(signal);
            assert_eq!(started.wait().status.code(), Some(128 + signal as i32));
        });
        assert!(pids.iter().all(|pid| proc::stat(*pid).is_none()), "{signal}: {pids:?}");
    }
}

/// The signal is not kept waiting by a reader of the report that does not read.
#[test]
fn a_signal_ends_a_check_whose_reader_has_stopped() {
    let plugins = broken();
    let mut command = fault_command(&plugins, "none", &["--json"]);
    let (mut reader, writer) = std::io::pipe().unwrap();
    // So little room that the check is stuck in a write before long.
    nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    let mut check = command.stdout(writer).spawn().unwrap();
    // `command` holds the other end too.
    drop(command);
    let pid = Pid::from_raw(check.id() as i32);
    eventually("a check that writes to a full pipe", || {
        let place = fs::read_to_string(format!("/proc/{pid}/syscall")).ok()?;
        let is_write = place.split(' ').next() == Some(&libc::SYS_write.to_string());
        (is_write && proc::stat(pid)?.state == 'S').then_some(())
    });
    kill(pid, Signal::SIGTERM).unwrap();
    let status = check.wait().unwrap();
    assert_eq!(status.code(), Some(128 + Signal::SIGTERM as i32));
    let mut report = Vec::new();
    reader.read_to_end(&mut report).unwrap();
}

/// A check that is killed takes the process of its case with it.
#[test]
fn nothing_outlives_a_check() {
    let plugins = broken();
    let started = Started::new(fault_command(&plugins, "hangs", &[]));
    let case = eventually("the process of a case that hangs", || {
        let children = proc::children(started.pid());
        // Its second case: the first, which loads the plugin, ends by itself.
        let hangs = |pid: Pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains("constructor-works")
        };
        children.iter().map(|child| child.pid).find(|pid| hangs(*pid))
    });
    started.signal(Signal::SIGKILL);
    eventually("the end of the case", || proc::stat(case).is_none_or(|stat| stat.state == 'Z').then_some(()));
}

/// The plugin that has a fault if it is asked for one.
fn broken() -> Plugins {
    Plugins::of(&["loophost-fixture-broken"])
}

/// What one writes for its policy or its watcher.
fn offer(broken: &Plugins, kind: &str) -> String {
    format!("{}#{kind}", broken.file("libloophost_fixture_broken.so").display())
}

/// `plugin check` of its policy with a fault.
fn fault_command(broken: &Plugins, fault: &str, args: &[&str]) -> Command {
    let fault = format!("fault={fault}");
    check_command(&[&[&*offer(broken, "policy"), "--policy-opt", &fault], args].concat())
}

/// Has a check whose cases leave processes behind done with, and gives the pids of those. What `check` gets tells which
/// have been written down so far.
fn leave_processes(fault: &str, check: impl FnOnce(Command, &dyn Fn() -> Vec<Pid>)) -> Vec<Pid> {
    let (plugins, folder) = (broken(), tempfile::tempdir().unwrap());
    let file = folder.path().join("pids");
    let pids = format!("pids={}", file.display());
    let cases = ["--only", "plugin/constructor-works", "--only", "loop/has-name"];
    let command = fault_command(&plugins, fault, &[&["--policy-opt", &pids], &cases[..]].concat());
    let written = || {
        let text = fs::read_to_string(&file).unwrap_or_default();
        lines(&text).map(|pid| Pid::from_raw(pid.parse().unwrap())).collect::<Vec<_>>()
    };
    check(command, &written);
    written()
}
