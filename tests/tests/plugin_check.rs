//! `plugin check`: what passes, what each broken plugin is told, and what a script can rely on.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::HashSet, process::Command};

use loophost_tests::{Ended, Plugins, binary, can_run, command, loophost, proc, run};
use nix::unistd::Pid;
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
fn passes(plugin: &str) {
    let (cases, status) = check_json(&[plugin]);
    let bad: Vec<_> =
        cases.iter().filter(|case| case["result"] != "passed" && case["result"] != "skipped").collect();
    assert!(bad.is_empty() && status == Some(0), "{plugin}: status {status:?}, {bad:#?}");
    let passed = cases.iter().filter(|case| case["result"] == "passed").count();
    assert!(passed * 10 > cases.len() * 8, "{plugin}: only {passed} of {} have passed", cases.len());
}

#[test]
fn the_built_ins_pass() {
    for name in loophost::builtin::POLICIES.into_iter().chain(loophost::builtin::WATCHERS) {
        passes(name);
    }
}

#[test]
fn shipped_plugins_and_examples_pass() {
    let packages = ["loophost-poll", "loophost-libuv", "selector-policy", "limited-policy", "quiet-watcher"];
    let plugins = Plugins::of(&packages);
    for package in packages.into_iter().filter(|package| can_run(package)) {
        let library = package.replace('-', "_");
        passes(plugins.file(&format!("lib{library}.so")).to_str().unwrap());
    }
}

/// Each broken offer, the case that finds the fault, and how it ends.
const BROKEN: [(&str, &str, &str, &str); 18] = [
    ("policy hangs", "plugin/constructor-works", "timed out", "did not end"),
    ("policy exits", "plugin/constructor-works", "crashed", "ended the process with status 0"),
    ("policy changes-folder", "plugin/constructor-keeps-folder", "failed", "the working folder: expected"),
    ("policy ignores-signal", "plugin/constructor-keeps-signals", "failed", "signal 12 was default"),
    ("policy wrong-order", "loop/call-soon-order", "failed", "expected [first, second], got [second, first]"),
    ("policy loses-callback", "loop/callback-once", "failed", "were never called"),
    ("policy leaks-descriptor", "loop/close-leaks-nothing", "failed", "descriptors are open after 100 loops"),
    ("policy aborts", "loop/timer-order", "crashed", "killed by SIGABRT"),
    ("policy reader-twice", "loop/reader-level-triggered", "failed", "got [ready, ready]"),
    ("policy loses-wake-up", "loop/wakes-from-thread", "failed", "slept"),
    ("policy early-timers", "loop/timer-not-early", "failed", "ns early"),
    ("policy drops-inside", "loop/reader-drop-uses-loop", "failed", "Err(ErrorCode(11))"),
    ("watcher wrong-status", "watcher/exit-status", "failed", "expected returncode 0, got 9"),
    ("watcher reaps-by-itself", "watcher/reaped-by-host", "failed", "the host has not taken the status"),
    ("watcher forgets", "watcher/exit-status", "failed", "in vain for the handler of process"),
    (
        "watcher keeps-first",
        "watcher/replaces-handler",
        "failed",
        "drops of the replaced handler: expected 1",
    ),
    ("watcher tells-inside", "watcher/never-from-inside-add", "failed", "from inside add_child_handler"),
    ("watcher keeps-on-close", "watcher/close-drops-handlers", "failed", "drops of the handler: expected 1"),
];

#[test]
fn each_broken_plugin_is_found_by_the_right_case() {
    let plugins = Plugins::of(&["loophost-fixture-broken"]);
    let file = plugins.file("libloophost_fixture_broken.so");
    let mut args = vec![file.to_str().unwrap(), "--timeout", "10s", "--only", "*/has-name"];
    let cases: HashSet<_> = BROKEN.iter().map(|(_, case, ..)| *case).collect();
    args.extend(cases.iter().flat_map(|case| ["--only", case]));
    let (results, status) = check_json(&args);
    assert_eq!(status, Some(1));
    for (offer, case, expected, reason) in BROKEN {
        let of_offer: Vec<_> = results.iter().filter(|result| result["offer"] == offer).collect();
        let found = of_offer.iter().find(|result| result["case"] == case);
        let found = found.unwrap_or_else(|| panic!("{offer}: no {case} in {of_offer:#?}"));
        assert_eq!(found["result"], expected, "{offer}: {found:#}");
        assert!(found["reason"].as_str().unwrap().contains(reason), "{offer}: {found:#}");
        // The run has gone on. What cannot be made is checked no further.
        let name =
            of_offer.iter().find(|result| result["case"].as_str().unwrap().ends_with("/has-name")).unwrap();
        let is_made = case != "plugin/constructor-works";
        assert_eq!(name["result"], if is_made { "passed" } else { "skipped" }, "{offer}: {name:#}");
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
fn the_report_for_people_ends_with_the_failures() {
    let plugins = Plugins::of(&["loophost-fixture-broken"]);
    let offer = format!("{}#wrong-order", plugins.file("libloophost_fixture_broken.so").display());
    let ended = check(&[&offer, "--only", "loop/call-soon-order", "--only", "loop/has-name"]);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    let expected = "
failed loop/call-soon-order of policy wrong-order
    must hold: callbacks run in the order in which they were given, new ones in the next turn
    but: expected [first, second], got [second, first] (testkit event_loop/calls.rs:";
    assert!(ended.stdout.contains(expected), "{}", ended.stdout);
    assert!(ended.stdout.contains("\n2 cases: 1 passed, 1 failed; loaded in "), "{}", ended.stdout);
    assert!(!ended.stdout.contains('\x1b'), "colour is for terminals");
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

/// A check that is killed takes the process of its case with it.
#[test]
fn nothing_outlives_a_check() {
    let plugins = Plugins::of(&["loophost-fixture-broken"]);
    let offer = format!("{}#hangs", plugins.file("libloophost_fixture_broken.so").display());
    let mut check = command(binary());
    check.args(["plugin", "check", &offer]);
    let started = loophost_tests::Started::new(check);
    let case = loophost_tests::eventually("the process of a case that hangs", || {
        let children = proc::children(started.pid());
        // Its second case: the first, which loads the plugin, ends by itself.
        let hangs = |pid: Pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains("constructor-works")
        };
        children.iter().map(|child| child.pid).find(|pid| hangs(*pid))
    });
    started.signal(nix::sys::signal::Signal::SIGKILL);
    loophost_tests::eventually("the end of the case", || {
        proc::stat(case).is_none_or(|stat| stat.state == 'Z').then_some(())
    });
}
