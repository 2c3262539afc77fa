//! The options of the policy `uring`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use loophost_tests::{Plugins, io_uring_works, loophost, run};

fn run_with(plugins: &Plugins, option: &str) -> (Option<i32>, String) {
    let file = plugins.file("libloophost_uring.so");
    let args =
        ["run", "--policy", file.to_str().unwrap(), "--policy-opt", option, "--", "sh", "-c", "exit 3"];
    let ended = run(loophost(args));
    (ended.status.code(), ended.stderr)
}

#[test]
fn wrong_options_are_refused_with_what_is_allowed() {
    let plugins = Plugins::of(&["loophost-uring"]);
    for (option, allowed) in [
        ("entries=0", "a number from 1 to 32768"),
        ("entries=x", "a number from 1 to 32768"),
        ("sqpoll=yes", "off, or after how many idle milliseconds"),
        ("single-issuer=maybe", "no or yes"),
        ("wait=signal", "poll or waitid"),
        ("no-such=1", "no-such"),
    ] {
        let (status, message) = run_with(&plugins, option);
        assert_eq!(status, Some(125), "{option}: {message}");
        assert!(message.contains(allowed), "{option}: {message}");
    }
}

#[test]
fn every_option_runs_a_program() {
    if !io_uring_works() {
        return;
    }
    let plugins = Plugins::of(&["loophost-uring"]);
    for option in
        ["entries=1", "entries=32768", "sqpoll=off", "sqpoll=10", "single-issuer=yes", "wait=waitid"]
    {
        assert_eq!(run_with(&plugins, option), (Some(3), String::new()), "{option}");
    }
}
