//! `doctor`: its object, its statuses, and that it survives.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::HashSet,
    fs,
    process::{Command, Stdio},
};

use loophost::ABI_MINOR;
use loophost_tests::{
    Ended, Plugins, binary, command, loophost,
    plugin_file::{folder, with_descriptor},
    require, run, skip,
};
use nix::unistd::{Uid, pipe};
use serde_json::Value;
use tempfile::TempDir;

/// `doctor ARGS…` without the configuration of whoever runs the tests.
fn doctor(args: &[&str]) -> Command {
    let mut command = loophost(["doctor"].iter().chain(args));
    command.env("XDG_CONFIG_HOME", "/nonexistent");
    command
}

fn json(args: &[&str]) -> (Ended, Value) {
    let ended = run(doctor(&[&["--json"], args].concat()));
    let value =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.stdout));
    (ended, value)
}

/// `doctor` through a shell script, which gets the command as `"$@"`.
fn through(script: &str, args: &[&str]) -> Command {
    let mut command = command("sh");
    command.env("XDG_CONFIG_HOME", "/nonexistent");
    command.args(["-c", script, "sh"]).arg(binary()).arg("doctor").args(args).stdin(Stdio::null());
    command
}

fn finding<'a>(report: &'a Value, id: &str) -> &'a Value {
    let findings = report["findings"].as_array().unwrap();
    findings.iter().find(|finding| finding["id"] == id).unwrap_or_else(|| panic!("no {id} in {report:#}"))
}

#[test]
fn the_object_is_as_documented() {
    let (ended, report) = json(&[]);
    assert_eq!(ended.status.code(), Some(0), "{report:#}");
    assert_eq!(report["schema"], 1);
    let mut ids = HashSet::new();
    for finding in report["findings"].as_array().unwrap() {
        assert!(ids.insert(finding["id"].as_str().unwrap().to_owned()), "twice: {finding}");
        assert!(["ok", "note", "warning", "problem"].contains(&finding["level"].as_str().unwrap()));
        assert!(!finding["value"].as_str().unwrap().is_empty(), "{finding}");
        // Whatever is not ok says what it means.
        let unknown = finding["value"].as_str().unwrap().starts_with("unknown: ");
        assert!(finding["level"] == "ok" || unknown || finding["advice"].is_string(), "{finding}");
    }
    for id in [
        "kernel.version",
        "kernel.libc",
        "kernel.clock",
        "events.pidfd",
        "events.epoll",
        "events.io_uring",
        "making.thread",
        "making.signalfd",
        "making.eventfd",
        "making.child",
        "making.session",
        "making.death_signal",
        "rights.seccomp",
        "rights.no_new_privs",
        "rights.capabilities",
        "container.pid",
        "container.pid_namespace",
        "container.user_namespace",
        "cgroup.pids",
        "cgroup.memory",
        "signals.chld",
        "signals.pipe",
        "signals.blocked",
        "limits.descriptors",
        "limits.processes",
        "limits.address_space",
        "limits.pid_max",
        "limits.threads_max",
        "terminal.streams",
        "plugins.path",
        "choice.policy",
        "choice.watcher",
        "choice.chain",
        "choice.compat",
    ] {
        assert!(ids.contains(id), "{id} is missing");
    }
    assert_eq!(report["choices"][0]["source"], "default");
    assert!(report["plugin_path"].as_array().unwrap().len() >= 4);
}

#[test]
fn every_plugin_is_listed_and_every_rejected_file_with_its_reason() {
    let plugins = Plugins::of(&["loophost-poll", "loophost-fixture-abi-minor"]);
    fs::write(plugins.file("libempty.so"), "").unwrap();
    let folder = plugins.folder();
    let (ended, report) = json(&["--plugin-path", folder.to_str().unwrap(), "--policy", "poll"]);
    assert_eq!(ended.status.code(), Some(0), "{report:#}");
    let first = &report["plugin_path"][0];
    assert_eq!((&first["exists"], &first["rejected"]), (&true.into(), &Value::Null));
    let files: Vec<_> = first["files"].as_array().unwrap().iter().collect();
    assert_eq!(files.len(), 3, "{first:#}");
    assert!(files[0]["rejected"].as_str().unwrap().contains("empty"), "{first:#}");
    assert!(files[1]["rejected"].as_str().unwrap().contains("ABI"), "{first:#}");
    assert_eq!(files[2]["offers"][0], "policy poll");
    assert_eq!(finding(&report, "plugins.path")["level"], "warning");
    assert_eq!(report["choices"][0]["file"], folder.join("libloophost_poll.so").to_str().unwrap());

    let text = run(doctor(&["--plugin-path", folder.to_str().unwrap()])).stdout;
    assert!(text.contains("libempty.so") && text.contains("libloophost_poll.so: policy poll"), "{text}");
    assert!(!text.contains('\x1b'), "{text}");
}

#[test]
fn what_was_asked_for_and_cannot_be_used_is_a_problem() {
    let (ended, report) = json(&["--policy", "/no/such.so"]);
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(
        (&report["level"], &finding(&report, "choice.policy")["level"]),
        (&"problem".into(), &"problem".into())
    );
    assert!(report["choices"][0]["rejected"].is_string());
    let (ended, report) = json(&["--policy", "/no/such.so", "--fallback"]);
    assert_eq!(
        (ended.status.code(), &finding(&report, "choice.policy")["level"]),
        (Some(0), &"warning".into())
    );
    let (ended, report) = json(&["--watcher", "threaded", "--watcher-opt", "x=1"]);
    assert_eq!(ended.status.code(), Some(1), "{report:#}");
}

#[test]
fn nothing_of_a_plugin_runs_unless_it_is_loaded() {
    let plugins = Plugins::of(&["loophost-fixture-panic-in-init"]);
    let file = plugins.file("libloophost_fixture_panic_in_init.so");
    let args = ["--policy", file.to_str().unwrap()];
    assert_eq!(run(doctor(&args)).status.code(), Some(0));
    let (ended, report) = json(&[&args[..], &["--load"]].concat());
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(finding(&report, "choice.loaded")["level"], "problem");
    let (ended, report) = json(&["--load", "--watcher", "threaded"]);
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(
        finding(&report, "choice.loaded")["value"],
        "loop SelectorEventLoop, watcher ThreadedChildWatcher"
    );
}

/// The fixture's constructor aborts; with a descriptor that fits, it runs.
#[test]
fn a_plugin_that_ends_the_process_is_a_finding() {
    let (_folder, folder) = folder();
    let minor = ABI_MINOR.to_le_bytes();
    let file = with_descriptor("loophost-fixture-runs-early", &folder, &[(24, &minor), (28, &minor)]);
    let (ended, report) = json(&["--load", "--policy", file.to_str().unwrap()]);
    assert_eq!(ended.status.code(), Some(1), "{report:#}");
    let loaded = finding(&report, "choice.loaded");
    assert_eq!(
        (&loaded["level"], &loaded["value"]),
        (&"problem".into(), &"dies of SIGABRT while it is loaded".into())
    );
    assert!(loaded["advice"].as_str().unwrap().contains("rebuild it"), "{loaded}");
}

#[test]
fn a_configuration_that_cannot_be_read_is_a_problem_and_the_rest_is_told() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("broken.toml");
    fs::write(&file, "polcy = \"x\"\n").unwrap();
    let (ended, report) = json(&["--config", file.to_str().unwrap()]);
    assert_eq!(ended.status.code(), Some(1));
    let value = finding(&report, "configuration.error")["value"].as_str().unwrap();
    assert!(value.contains(":1:1: ") && value.contains("did you mean `policy`"), "{value}");
    finding(&report, "choice.policy");
}

#[test]
fn what_it_was_started_with_is_told() {
    let ended = run(through("exec env --ignore-signal=CHLD --ignore-signal=PIPE \"$@\" 0<&-", &["--json"]));
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    for id in ["signals.chld", "signals.pipe", "terminal.streams"] {
        assert_eq!(finding(&report, id)["level"], "note", "{report:#}");
    }
    assert_eq!(ended.status.code(), Some(0));
}

#[test]
fn nobody_needs_to_read_it() {
    let closed = |script| run(through(script, &[])).status.code();
    assert_eq!(closed("exec \"$@\" >&-"), Some(0));
    assert_eq!(closed("exec \"$@\" <&- >&- 2>&-"), Some(0));
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let mut command = doctor(&["--policy", "/no/such.so"]);
    let status = command.stdout(Stdio::from(writer)).status().unwrap();
    assert_eq!(status.code(), Some(1), "the status counts, whoever reads");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = doctor(&[]).stdout(full).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&output.stderr).contains("No space left"), "{output:?}");
}

#[test]
fn it_survives_without_descriptors() {
    let ended = run(through("ulimit -n 4; exec \"$@\"", &["--json"]));
    let report: Value =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    assert_eq!(ended.status.code(), Some(1), "{report:#}");
    assert_eq!(finding(&report, "limits.descriptors")["level"], "problem", "{report:#}");
}

#[test]
fn a_low_limit_of_address_space_is_told() {
    let ended = run(through("ulimit -v 100000; exec \"$@\"", &["--json"]));
    let report: Value =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    let found = finding(&report, "limits.address_space");
    assert_eq!(
        (&found["level"], &found["value"]),
        (&"warning".into(), &"102400000 soft, 102400000 hard".into())
    );
}

#[test]
fn it_survives_without_proc() {
    if !Uid::effective().is_root() {
        return skip("only root can cover /proc");
    }
    if require("unshare").is_none() {
        return;
    }
    let covered = "unshare -m sh -c 'mount -t tmpfs none /proc && exec \"$@\"' sh \"$@\"";
    let ended = run(through(covered, &["--json"]));
    if ended.stdout.is_empty() && ended.stderr.contains("unshare") {
        return skip("mounts are not allowed here");
    }
    let report: Value =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    assert_eq!(finding(&report, "kernel.proc")["level"], "warning", "{report:#}");
    assert_eq!(ended.status.code(), Some(0), "{report:#}");
}

#[test]
fn the_chain_of_watchers_is_that_of_the_version_and_the_flags() {
    let chain = |args: &[&str]| {
        let (ended, report) = json(args);
        assert_eq!(ended.status.code(), Some(0), "{report:#}");
        assert!(finding(&report, "choice.chain")["value"].as_str().unwrap().contains("pidfd: "));
        let chain = report["choices"][1]["chain"].as_array().unwrap().clone();
        (chain.iter().map(|name| name.as_str().unwrap().to_owned()).collect::<Vec<_>>(), report)
    };
    let pidfd_works = finding(&json(&[]).1, "events.pidfd")["level"] == "ok";
    let usual: &[&str] = if pidfd_works { &["pidfd", "threaded"] } else { &["threaded"] };
    assert_eq!(chain(&[]).0, usual);
    assert_eq!(chain(&["--watcher", "multi-loop"]).0, [&["multi-loop"], usual].concat());
    let (of_3_7, report) = chain(&["--compat", "3.7"]);
    assert_eq!(of_3_7, [&["safe"], usual].concat());
    let value = finding(&report, "choice.compat")["value"].as_str().unwrap();
    assert!(value.contains("3.7 (by --compat)") && value.contains("safe"), "{value}");
    assert!(finding(&report, "choice.watcher")["value"].as_str().unwrap().contains("as asyncio 3.7 does"));
    let (ended, report) = json(&["--watcher", "/no/such.so"]);
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(report["choices"][1]["chain"], Value::Array(Vec::new()));
    let mut command = doctor(&["--json"]);
    command.env("LOOPHOST_COMPAT", "2.7");
    let report: Value = serde_json::from_str(&run(command).stdout).unwrap();
    assert_eq!(finding(&report, "choice.compat")["level"], "problem");
}
