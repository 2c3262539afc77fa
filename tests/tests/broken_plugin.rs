//! What `plugin check` says of a plugin that is broken in very many ways, one at a time: for each fault there is a case that
//! finds it, and says so.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
};

use loophost_tests::{Ended, Plugins, loophost, run};
use serde_json::Value;

/// The offer, its fault, the case that finds it, how that ends, and a part of what it says.
const FAULTS: &[(&str, &str, &str, &str, &str)] = &[
    ("policy", "hangs", "plugin/constructor-works", "timed out", "did not end"),
    ("policy", "exits", "plugin/constructor-works", "crashed", "ended the process with status 0"),
    ("policy", "changes-folder", "plugin/constructor-keeps-folder", "failed", "the working folder: expected"),
    ("policy", "ignores-signal", "plugin/constructor-keeps-signals", "failed", "signal 12 was default"),
    (
        "policy",
        "closes-descriptor",
        "plugin/constructor-keeps-descriptors",
        "failed",
        "descriptor 0: expected",
    ),
    (
        "policy",
        "leaves-inheritable",
        "plugin/constructor-keeps-descriptors",
        "failed",
        "is not close-on-exec",
    ),
    ("policy", "one-loop", "policy/new-event-loop", "failed", "the same loop twice"),
    ("policy", "sets-new-loops", "policy/new-event-loop", "failed", "has made its loop current"),
    ("policy", "forgets-loop", "policy/set-and-get", "failed", "NO_CURRENT_LOOP"),
    ("policy", "always-creates", "policy/creates-in-main-thread", "failed", "gave another loop"),
    ("policy", "never-empty", "policy/after-set-none", "failed", "but it worked"),
    ("policy", "not-outermost", "policy/creates-through-overrides", "failed", "got [get_event_loop]"),
    ("policy", "panics", "policy/no-method-panics", "failed", "there is no loop to get"),
    ("policy", "many-watchers", "policy/watcher-cached", "failed", "gave another watcher"),
    ("policy", "keeps-watcher", "policy/set-watcher-none", "failed", "is still there"),
    ("policy", "closes-same-watcher", "policy/set-same-watcher", "failed", "got [close, close]"),
    (
        "policy",
        "attaches-everywhere",
        "policy/set-loop-elsewhere-leaves-watcher",
        "failed",
        "got [attach_loop a loop, attach_loop none]",
    ),
    ("policy", "hides-failed-attach", "policy/failed-attach-changes-nothing", "failed", "but it worked"),
    (
        "policy",
        "wrong-order",
        "loop/call-soon-order",
        "failed",
        "expected [first, second], got [second, first]",
    ),
    ("policy", "threads-come-late", "loop/call-order-mixed", "failed", "got [1, 4, timer]"),
    ("policy", "loses-callback", "loop/callback-once", "failed", "were never called"),
    ("policy", "drops-late", "loop/callback-dropped", "failed", "the calls: expected"),
    ("policy", "two-turns", "loop/turn-ends", "failed", "got [again, again, again"),
    ("policy", "aborts", "loop/timer-order", "crashed", "killed by SIGABRT"),
    (
        "policy",
        "leaks-descriptor",
        "loop/close-leaks-nothing",
        "failed",
        "descriptors are open after 100 loops",
    ),
    (
        "policy",
        "leaks-descriptor",
        "plugin/destroyed-leaves-nothing",
        "failed",
        "descriptors are open after 100 times",
    ),
    ("policy", "leaves-thread", "loop/close-leaks-nothing", "failed", "the threads"),
    ("policy", "blocks-signal", "loop/keeps-signals", "failed", "blocked was [], is [10]"),
    ("policy", "reader-twice", "loop/reader-level-triggered", "failed", "got [ready, ready]"),
    ("policy", "reader-once", "loop/reader-level-triggered", "failed", "the reader again"),
    (
        "policy",
        "keeps-first-reader",
        "loop/descriptor-number-reused",
        "failed",
        "the reader of the new descriptor",
    ),
    ("policy", "keeps-readers", "loop/reader-level-triggered", "failed", "expected [], got [ready]"),
    ("policy", "denies-remove", "loop/reader-level-triggered", "failed", "remove_reader: expected true"),
    ("policy", "removes-both", "loop/reader-and-writer", "failed", "expected [writer], got []"),
    ("policy", "no-writers", "loop/reader-and-writer", "failed", "expected [writer], got []"),
    ("policy", "hides-reader-errors", "loop/reader-error", "failed", "two reports"),
    ("policy", "takes-bad-descriptors", "loop/bad-descriptor", "failed", "add_reader(-1)"),
    ("policy", "drops-inside", "loop/reader-drop-uses-loop", "failed", "Err(ErrorCode(11))"),
    ("policy", "stream-again-and-again", "loop/stream-rearm", "failed", "events before rearm_io"),
    ("policy", "one-direction-at-a-time", "loop/stream-directions", "failed", "something to read"),
    ("policy", "takes-any-interest", "loop/stream-unknown-interest", "failed", "watch_io with"),
    ("policy", "keeps-streams", "loop/stream-unwatched-inside", "failed", "expected [unwatch_io true"),
    ("policy", "debugs-when-closed", "loop/closed-refuses", "failed", "set_debug of a closed loop"),
    ("policy", "shares-streams", "loop/stream-or-callbacks", "failed", "FD_BUSY, but it worked"),
    ("policy", "never-rearms", "loop/stream-rearm", "failed", "room to write"),
    ("policy", "loses-wake-up", "loop/wakes-from-thread", "failed", "slept"),
    ("policy", "any-thread", "loop/thread-rule", "failed", "call_soon elsewhere worked"),
    ("policy", "early-timers", "loop/timer-not-early", "failed", "ns early"),
    ("policy", "unstable-timers", "loop/timer-order", "failed", "got [b, a, d, c, e]"),
    ("policy", "wrapped-timers", "loop/timer-far-future", "failed", "got [the end of time"),
    ("policy", "loses-past-timers", "loop/timer-past-due", "failed", "expected [first], got []"),
    ("policy", "sleeping-timers", "loop/timer-cancelled", "failed", "cancel of a timer: expected true"),
    ("policy", "keeps-timers", "loop/close-drops-callbacks", "failed", "the drops"),
    (
        "policy",
        "ignores-cancel",
        "loop/cancel-in-turn",
        "failed",
        "got [call_soon, call_soon_threadsafe, call_at]",
    ),
    ("policy", "nothing-has-id", "loop/ids", "failed", "the id is 0"),
    ("policy", "denies-cancel", "loop/cancel", "failed", "expected true before it has run"),
    ("policy", "always-cancels", "loop/cancel", "failed", "expected false the second time"),
    ("policy", "clock-back", "loop/clock-monotonic", "failed", "went back"),
    ("policy", "clock-of-its-own", "loop/clock-shared", "failed", "another loop's clock"),
    ("policy", "clock-stands", "loop/clock-shared", "failed", "another loop's clock"),
    ("policy", "hides-errors", "loop/callback-error", "failed", "got [alive, failed]"),
    ("policy", "stops-on-error", "loop/callback-error", "failed", "cannot close a running event loop"),
    ("policy", "no-exception-handler", "loop/callback-error", "failed", "got [alive]"),
    (
        "policy",
        "announces-another",
        "loop/one-loop-per-thread",
        "failed",
        "the running loop is this one: false",
    ),
    ("policy", "never-running", "loop/run-in-run-refused", "failed", "is_running false"),
    ("policy", "waits-for-ever", "loop/run-once-timeout", "timed out", "did not end"),
    ("policy", "spins", "loop/sleeps", "failed", "turns until a timer"),
    ("policy", "forgets-stop", "loop/wakes-for-stop", "timed out", "did not end"),
    ("policy", "forgets-early-stop", "loop/stop-before-run", "failed", "in vain for the stop"),
    ("policy", "forgets-close", "loop/close-twice", "failed", "is_closed after close"),
    ("policy", "deaf-to-signals", "loop/signal-handled", "failed", "in vain for the handler"),
    ("policy", "hides-sender", "loop/signal-says-who", "failed", "number, sender and flags"),
    ("policy", "hides-signal-errors", "loop/signal-handler-error", "failed", "in vain for the report"),
    ("policy", "takes-any-signal", "loop/signal-invalid", "failed", "add_signal_handler(0)"),
    ("policy", "keeps-signal-handlers", "loop/signal-removed", "failed", "remove_signal_handler again"),
    ("policy", "no-debug-mode", "loop/debug-mode", "failed", "there is no debug mode"),
    ("policy", "claims-nothing", "loop/capabilities-are-honest", "failed", "READINESS, which is not named"),
    ("policy", "claims-when-closed", "loop/closed-refuses", "failed", "capabilities of a closed loop"),
    ("policy", "claims-a-thread", "loop/bound-to-its-thread", "failed", "call_soon elsewhere"),
    ("policy", "nameless", "loop/has-name", "failed", "the name is"),
    ("policy", "any-extension", "loop/unknown-is-refused", "failed", "an extension that there is not"),
    ("watcher", "wrong-status", "watcher/exit-status", "failed", "expected returncode 0, got 9"),
    ("watcher", "shifted-status", "watcher/exit-status", "failed", "expected returncode 3, got 0"),
    ("watcher", "signals-as-in-shell", "watcher/exit-by-signal", "failed", "expected returncode -9, got 137"),
    ("watcher", "wrong-pid", "watcher/event-is-complete", "failed", "its pid"),
    ("watcher", "no-details", "watcher/event-is-complete", "failed", "its pid"),
    ("watcher", "forgets", "watcher/exit-status", "failed", "in vain for the handler of process"),
    ("watcher", "loses-some", "watcher/two-children", "failed", "in vain for the handler of process"),
    ("watcher", "tells-early", "watcher/not-while-alive", "failed", "while the child lives"),
    ("watcher", "needs-pidfd", "watcher/without-pidfd", "failed", "no pidfd"),
    ("watcher", "reaps-by-itself", "watcher/reaped-by-host", "failed", "the host has not taken the status"),
    ("watcher", "reaps-everybody", "watcher/leaves-others-alone", "failed", "taken by somebody else"),
    (
        "watcher",
        "reaps-everybody",
        "watcher/foreign-dies-in-spawn-block",
        "failed",
        "expected returncode 6, got 255",
    ),
    ("watcher", "closes-lent", "watcher/lent-pidfd", "failed", "it was lent"),
    ("watcher", "tells-inside", "watcher/never-from-inside-add", "failed", "from inside add_child_handler"),
    (
        "watcher",
        "keeps-first",
        "watcher/replaces-handler",
        "failed",
        "drops of the replaced handler: expected 1",
    ),
    ("watcher", "refuses-second", "watcher/replaces-handler", "failed", "is watched already"),
    (
        "watcher",
        "calls-replaced",
        "watcher/replaces-handler",
        "failed",
        "drops of the replaced handler: expected 1",
    ),
    (
        "watcher",
        "keeps-removed",
        "watcher/removes-handler",
        "failed",
        "drops of the removed handler: expected 1",
    ),
    ("watcher", "denies-removed", "watcher/removes-handler", "failed", "remove_child_handler: expected true"),
    ("watcher", "always-removes", "watcher/remove-unknown", "failed", "expected false"),
    ("watcher", "holds-lock", "watcher/handler-uses-watcher", "timed out", "did not end"),
    ("watcher", "drops-in-lock", "watcher/drop-uses-watcher", "timed out", "did not end"),
    ("watcher", "takes-any-pid", "watcher/bad-pid", "failed", "but it worked"),
    (
        "watcher",
        "keeps-on-close",
        "watcher/close-drops-handlers",
        "failed",
        "drops of the handler: expected 1",
    ),
    ("watcher", "calls-on-close", "watcher/close-drops-handlers", "failed", "called after close"),
    ("watcher", "leaks-descriptor", "watcher/leaves-nothing", "failed", "is /dev/null"),
    ("watcher", "leaks-on-remove", "watcher/removed-leaves-nothing", "failed", "handlers were removed"),
    ("watcher", "leaks-on-remove", "watcher/added-again-takes-no-more", "failed", "to be watched once"),
    ("watcher", "leaks-on-close", "watcher/closed-leaves-nothing", "failed", "whose watcher was closed"),
    ("watcher", "leaves-thread", "watcher/leaves-nothing", "failed", "threads"),
    ("watcher", "blocks-signal", "watcher/keeps-signals", "failed", "blocked was [], is [17]"),
    ("watcher", "always-active", "watcher/active-without-loop", "failed", "NO_RUNNING_LOOP"),
    ("watcher", "never-active", "watcher/spawn-block", "failed", "is_active in a running loop"),
    ("watcher", "spawns-one", "watcher/spawn-block", "failed", "another spawn is under way"),
    (
        "watcher",
        "forgets-on-attach",
        "watcher/reattach-keeps-children",
        "failed",
        "on the old or the new loop",
    ),
    ("watcher", "panics", "watcher/exit-status", "failed", "PANICKED"),
    ("watcher", "nameless", "watcher/has-name", "failed", "the name is"),
];

/// Checks an offer with a fault, and gives the results of the cases.
fn check(plugins: &Plugins, kind: &str, fault: &str, args: &[&str]) -> (Vec<Value>, Ended) {
    let offer = format!("{}#{kind}", plugins.file("libloophost_fixture_broken.so").display());
    let (option, fault) = (format!("--{kind}-opt"), format!("fault={fault}"));
    let ended = run(loophost(["plugin", "check", &offer, "--json", &option, &fault].iter().chain(args)));
    let results = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (results, ended)
}

#[test]
fn each_fault_is_found_by_the_right_case() {
    // Most of them wait in vain for something.
    const AT_ONCE: usize = 8;
    let plugins = Plugins::of(&["loophost-fixture-broken"]);
    // Built before the clocks run.
    loophost_tests::binary();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(fault) = FAULTS.get(next.fetch_add(1, Relaxed)) {
            is_found(&plugins, *fault);
        }
    };
    thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
}

fn is_found(plugins: &Plugins, (kind, fault, case, expected, reason): (&str, &str, &str, &str, &str)) {
    let other = if kind == "policy" { "loop/has-name" } else { "watcher/close-twice" };
    // What is waited for in vain takes half of it.
    let limits = ["--timeout", "20s", "--jobs", "2"];
    let (results, ended) =
        check(plugins, kind, fault, &[&limits[..], &["--only", case, "--only", other]].concat());
    assert_eq!(ended.status.code(), Some(1), "{kind} {fault}: {}{}", ended.stdout, ended.stderr);
    let result = |case| results.iter().find(|result| result["case"] == case).unwrap();
    let found = result(case);
    assert_eq!(found["result"], expected, "{kind} {fault}: {found:#}");
    assert!(found["reason"].as_str().unwrap().contains(reason), "{kind} {fault}: {found:#}");
    // The run has gone on. What cannot be made is checked no further.
    let goes_on = if case == "plugin/constructor-works" { "skipped" } else { "passed" };
    assert!(case == other || result(other)["result"] == goes_on, "{kind} {fault}: {:#}", result(other));
}

/// It is the fault that is found, and not how the plugin is made.
#[test]
fn without_a_fault_it_passes() {
    let plugins = Plugins::of(&["loophost-fixture-broken"]);
    for kind in ["policy", "watcher"] {
        let (results, ended) = check(&plugins, kind, "none", &[]);
        let bad =
            results.iter().filter(|result| result["result"] != "passed" && result["result"] != "skipped");
        assert_eq!(ended.status.code(), Some(0), "{:#?}{}", bad.collect::<Vec<_>>(), ended.stderr);
    }
}
