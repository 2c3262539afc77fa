//! What `run` and `batch` choose holds for the programs that they start, if those are built on the library.

use std::{fs, os::unix::fs::chown, process::Command};

use loophost_tests::{Ended, Plugins, binary, command, loophost, run, skip};
use nix::unistd::Uid;

use super::CHOSEN;

/// What the program says that is started as `loophost run FLAGS -- chosen`.
fn chosen(variables: &[(&str, &str)], flags: &[&str]) -> Ended {
    started(variables, flags, &[CHOSEN])
}

fn started(variables: &[(&str, &str)], flags: &[&str], program: &[&str]) -> Ended {
    let mut command = loophost([&["run"], flags, &["--"], program].concat());
    command.envs(variables.iter().copied());
    run(command)
}

/// The program alone.
fn alone(variables: &[(&str, &str)]) -> Ended {
    let mut command: Command = command(CHOSEN);
    command.envs(variables.iter().copied());
    run(command)
}

#[track_caller]
fn runs_on(ended: &Ended, event_loop: &str, watcher: &str) {
    assert!(ended.status.success(), "{}", ended.stderr);
    assert_eq!(ended.stdout, format!("loop {event_loop}\nwatcher {watcher}\n"), "{}", ended.stderr);
}

#[track_caller]
fn fails(ended: &Ended, status: i32, parts: &[&str]) {
    assert_eq!(ended.status.code(), Some(status), "{} {}", ended.stdout, ended.stderr);
    assert!(ended.stderr.lines().count() <= 4, "{}", ended.stderr);
    for part in parts {
        assert!(ended.stderr.contains(part), "{part:?} is not in {}", ended.stderr);
    }
}

/// The watcher of a program for which nobody has chosen one.
fn default_watcher() -> String {
    let ended = alone(&[]);
    let watcher = ended.stdout.strip_prefix("loop SelectorEventLoop\nwatcher ").unwrap_or_default();
    assert!(watcher.ends_with("ChildWatcher\n"), "{} {}", ended.stdout, ended.stderr);
    watcher.trim_end().to_owned()
}

fn exports(explained: &str) -> Vec<&str> {
    explained.lines().filter_map(|line| line.strip_prefix("exports  ")).collect()
}

#[test]
fn a_flag_holds_for_the_program_too() {
    let plugins = Plugins::new();
    let folder = plugins.folder();
    let flags = ["--plugin-path", folder.to_str().unwrap(), "--policy", "poll", "--watcher", "threaded"];
    let file = plugins.file("libloophost_poll.so").display().to_string();
    runs_on(&chosen(&[], &flags), "PollEventLoop", "ThreadedChildWatcher");
    // Also through a program that is not, and through another loophost, which may choose otherwise.
    let shell = started(&[], &flags, &["sh", "-c", "cd / && exec \"$0\"", CHOSEN]);
    runs_on(&shell, "PollEventLoop", "ThreadedChildWatcher");
    let loophost = binary();
    let nested = [loophost.to_str().unwrap(), "run", "--", CHOSEN];
    runs_on(&started(&[], &flags, &nested), "PollEventLoop", "ThreadedChildWatcher");
    let nested = [nested[0], "run", "--policy", "default", "--", CHOSEN];
    runs_on(&started(&[], &flags, &nested), "SelectorEventLoop", "ThreadedChildWatcher");

    let explained = run(loophost_tests::loophost([&["run", "--explain"], &flags[..]].concat()));
    let policy = format!("LOOPHOST_POLICY={file}#poll");
    assert_eq!(exports(&explained.stdout), [&*policy, "LOOPHOST_WATCHER=threaded"]);
    let printed = started(&[], &flags, &["printenv", "LOOPHOST_POLICY"]);
    assert_eq!(printed.stdout, format!("{file}#poll\n"));
}

#[test]
fn so_do_a_variable_and_a_configuration_file() {
    let plugins = Plugins::new();
    let folder = plugins.folder();
    let variables = [("LOOPHOST_POLICY", "poll")];
    let flags = ["--plugin-path", folder.to_str().unwrap()];
    // The program alone would not find it.
    runs_on(&chosen(&variables, &flags), "PollEventLoop", &default_watcher());
    let config = folder.join("config.toml");
    fs::write(
        &config,
        format!("policy = \"{}\"\ncompat = \"3.8\"\n", plugins.file("libloophost_poll.so").display()),
    )
    .unwrap();
    let flags = ["--config", config.to_str().unwrap()];
    runs_on(&chosen(&[], &flags), "PollEventLoop", "ThreadedChildWatcher");
}

#[test]
fn what_nobody_has_chosen_is_not_exported() {
    let printed = started(&[], &[], &["sh", "-c", "env | grep ^LOOPHOST_; true"]);
    assert_eq!(printed.stdout, "");
    let explained = run(loophost(["run", "--explain"]));
    assert_eq!(exports(&explained.stdout), [""; 0]);
    runs_on(&chosen(&[], &[]), "SelectorEventLoop", &default_watcher());
}

#[test]
fn options_and_the_version_of_asyncio_hold_too() {
    let plugins = Plugins::new();
    let limited = plugins.file("liblimited_policy.so");
    let flags = ["--policy", limited.to_str().unwrap(), "--policy-opt", "max=7", "--compat", "3.7"];
    let ended = chosen(&[], &flags);
    runs_on(&ended, "SelectorEventLoop", "SafeChildWatcher");
    assert!(ended.stderr.contains("making an event loop made=1 max=7"), "{}", ended.stderr);
    // A stronger choice has options of its own.
    let variables = [("LOOPHOST_POLICY", "nothing"), ("LOOPHOST_POLICY_OPT", "entries=9")];
    let explained = started(&variables, &[&flags[..2], &["--explain"]].concat(), &[]);
    let [policy, options] = exports(&explained.stdout)[..] else { panic!("{}", explained.stdout) };
    assert!(policy.ends_with("liblimited_policy.so#limited"), "{policy}");
    assert_eq!(options, "no LOOPHOST_POLICY_OPT");
    // That of the same source counts, unless a flag gives the same option.
    let variables = [("LOOPHOST_POLICY", flags[1]), ("LOOPHOST_POLICY_OPT", "max=5")];
    let explained = started(&variables, &["--explain"], &[]);
    assert!(explained.stdout.contains("option: max=5 (LOOPHOST_POLICY_OPT)\n"), "{}", explained.stdout);
    let explained = started(&variables, &["--explain", "--policy-opt", "max=6"], &[]);
    assert!(explained.stdout.contains("overrides: 5 (LOOPHOST_POLICY_OPT)\n"), "{}", explained.stdout);
    assert!(exports(&explained.stdout).contains(&"LOOPHOST_POLICY_OPT=max=6"), "{}", explained.stdout);
    assert!(alone(&variables).stderr.contains("max=5"));
}

#[test]
fn no_export_leaves_the_environment_alone() {
    let flags = ["--no-export", "--watcher", "threaded", "--compat", "3.7"];
    let printed = started(&[("LOOPHOST_WATCHER", "pidfd")], &flags, &["sh", "-c", "env | grep ^LOOPHOST_"]);
    assert_eq!(printed.stdout, "LOOPHOST_WATCHER=pidfd\n");
    let explained = started(&[], &[&flags[..], &["--explain"]].concat(), &[]);
    assert_eq!(exports(&explained.stdout), [""; 0]);
}

#[test]
fn who_has_fallen_back_exports_nothing() {
    let flags = ["--fallback", "--policy", "no-such-plugin"];
    runs_on(&chosen(&[], &flags), "SelectorEventLoop", &default_watcher());
    // Nor does the program inherit what loophost could not use.
    let variables = [("LOOPHOST_POLICY", "no-such-plugin"), ("LOOPHOST_POLICY_OPT", "a=b")];
    runs_on(&chosen(&variables, &["--fallback"]), "SelectorEventLoop", &default_watcher());
    let explained = started(&variables, &["--fallback", "--explain"], &[]);
    assert_eq!(exports(&explained.stdout), ["no LOOPHOST_POLICY", "no LOOPHOST_POLICY_OPT"]);
}

#[test]
fn the_jobs_of_a_batch_run_on_it_as_well() {
    let plugins = Plugins::new();
    let file = plugins.file("libloophost_poll.so");
    let batch = |flags: &[&str]| {
        let flags = [&["batch", "--policy", file.to_str().unwrap()], flags].concat();
        run(loophost(
            [&flags[..], &["--", "sh", "-c", "\"$0\" | head -n1", CHOSEN, ":::", "1", "2"]].concat(),
        ))
    };
    let ended = batch(&[]);
    assert_eq!(ended.stdout, "loop PollEventLoop\nloop PollEventLoop\n", "{}", ended.stderr);
    let ended = batch(&["--no-export"]);
    assert_eq!(ended.stdout, "loop SelectorEventLoop\nloop SelectorEventLoop\n", "{}", ended.stderr);
}

#[test]
fn whom_loophost_trusts_the_program_trusts() {
    if !Uid::effective().is_root() {
        return skip("only root can give files away");
    }
    let plugins = Plugins::new();
    let file = plugins.file("libloophost_poll.so");
    chown(&file, Some(12345), None).unwrap();
    let path = file.to_str().unwrap();
    let flags = ["--policy", path, "--trust-owner", "12345", "--trust-owner", "1"];
    let ended = chosen(&[], &flags);
    assert!(ended.stdout.starts_with("loop PollEventLoop\n"), "{}", ended.stderr);
    let loophost = binary();
    let nested = started(&[], &flags, &[loophost.to_str().unwrap(), "run", "--", CHOSEN]);
    assert!(nested.stdout.starts_with("loop PollEventLoop\n"), "{}", nested.stderr);
    let explained = started(&[], &[&flags[..], &["--explain"]].concat(), &[]);
    assert!(exports(&explained.stdout).contains(&"LOOPHOST_TRUST_OWNER=12345,1"), "{}", explained.stdout);
    // A built-in needs no trust.
    let explained = started(&[], &["--explain", "--policy", "default", "--trust-owner", "1"], &[]);
    assert_eq!(exports(&explained.stdout), ["LOOPHOST_POLICY=default"]);
    fails(&alone(&[("LOOPHOST_POLICY", path)]), 1, &["LOOPHOST_POLICY=", path, "belongs to user 12345"]);
}

/// Variables, and what the message about them must have in it.
type Wrong<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);

#[test]
fn a_wrong_value_is_told_with_its_variable_and_the_reason() {
    let plugins = Plugins::new();
    let limited = plugins.file("liblimited_policy.so");
    let limited = limited.to_str().unwrap();
    let cases: [Wrong<'_>; 10] = [
        (&[("LOOPHOST_POLICY", "no-such")], &["no-such", "there is no plugin of this name"]),
        (&[("LOOPHOST_POLICY", "/no/such.so")], &["/no/such.so", "there is no such file"]),
        (&[("LOOPHOST_POLICY", "a b")], &["`a b` is no name"]),
        (&[("LOOPHOST_WATCHER", "/etc/passwd")], &["/etc/passwd"]),
        (&[("LOOPHOST_POLICY_OPT", "max=1")], &["LOOPHOST_POLICY_OPT", "needs LOOPHOST_POLICY"]),
        (
            &[("LOOPHOST_POLICY", limited), ("LOOPHOST_POLICY_OPT", "max")],
            &["LOOPHOST_POLICY_OPT=max: an option has no key or no =", "KEY=VALUE,KEY=VALUE"],
        ),
        (&[("LOOPHOST_POLICY", limited), ("LOOPHOST_POLICY_OPT", "max=x")], &["max=x", "invalid digit"]),
        (&[("LOOPHOST_POLICY", limited), ("LOOPHOST_POLICY_OPT", "min=1")], &["min", "max"]),
        (&[("LOOPHOST_COMPAT", "3.6")], &["LOOPHOST_COMPAT", "there is no profile 3.6"]),
        (
            &[("LOOPHOST_TRUST_OWNER", "1000,me")],
            &["LOOPHOST_TRUST_OWNER=1000,me", "`me` is no user's number"],
        ),
    ];
    for (variables, parts) in cases {
        let ended = alone(variables);
        fails(&ended, 1, parts);
        let (name, value) = variables[variables.len() - 1];
        assert!(ended.stderr.contains(name) && ended.stderr.contains(value), "{}", ended.stderr);
        // loophost itself says it too.
        fails(&chosen(variables, &[]), 125, parts);
    }
    let empty = ["POLICY", "POLICY_OPT", "WATCHER", "WATCHER_OPT", "COMPAT", "TRUST_OWNER"]
        .map(|name| format!("LOOPHOST_{name}"));
    runs_on(&alone(&empty.each_ref().map(|name| (&**name, ""))), "SelectorEventLoop", &default_watcher());
}
