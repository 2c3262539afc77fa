//! Plugins that panic or break the rules: the program runs and its status is passed on, or loophost says what is
//! wrong. Never a death by signal, never a hang.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path};

use loophost::{
    ErrorCode, LoopHandle, Options, PolicyHandle,
    builtin::watchers,
    plugin::{self, OfferErrorKind, Plugin},
    policy::DefaultEventLoopPolicy,
};
use loophost_tests::{
    Ended, Started, cdylib, eventually, loophost,
    plugin_file::{copy, folder, offer},
    run, trust,
};
use nix::{sys::signal::Signal, unistd::Pid};

const PANICKING: &str = "loophost-fixture-panicking";
const MISBEHAVING: &str = "loophost-fixture-misbehaving";

/// A program that exits with status 7, under an offer of a fixture.
fn run_offer(kind: &str, package: &str, name: &str) -> Ended {
    let (_folder, folder) = folder();
    let offer = offer(&copy(package, &folder), name);
    run(loophost(["run", kind, &offer, "--", "sh", "-c", "exit 7"]))
}

/// It runs, and what was wrong is in the log.
#[track_caller]
fn runs(kind: &str, package: &str, name: &str, says: &[&str]) {
    let ended = run_offer(kind, package, name);
    assert_eq!(ended.code(), 7, "{ended:?}");
    for part in says {
        assert!(ended.stderr.contains(part), "`{part}` is not in: {ended:?}");
    }
}

/// It does not run, for a reason that is told in three lines at most.
#[track_caller]
fn fails(kind: &str, package: &str, name: &str, says: &str) {
    let ended = run_offer(kind, package, name);
    assert_eq!(ended.code(), 125, "{ended:?}");
    let message = ended.stderr.lines().skip_while(|line| !line.starts_with("loophost: ")).collect::<Vec<_>>();
    assert!((1..=3).contains(&message.len()) && message.join("\n").contains(says), "{ended:?}");
}

#[test]
fn a_constructor_that_panics() {
    fails("--policy", PANICKING, "constructor", "constructor cannot be made");
    fails("--watcher", PANICKING, "constructor", "constructor cannot be made");
}

#[test]
fn callbacks_that_panic() {
    runs("--policy", PANICKING, "callback", &["in call_soon loop", "in call_soon_threadsafe", "in call_at"]);
    runs("--policy", PANICKING, "callback-drop", &["a timer is dropped", "what was called is dropped"]);
    runs("--policy", PANICKING, "signal", &["in a signal handler", "a second handler is dropped"]);
}

#[test]
fn drops_that_panic() {
    runs("--policy", PANICKING, "drop", &[]);
    runs("--policy", PANICKING, "loop-drop", &["dropping an event loop", "a loop is dropped"]);
    runs("--watcher", PANICKING, "drop", &[]);
}

#[test]
fn a_loop_that_cannot_be_made_or_closed() {
    fails("--policy", PANICKING, "new-loop", "a loop cannot be made");
    let ended = run_offer("--policy", PANICKING, "loop-close");
    assert!([7].contains(&ended.code()), "{ended:?}");
    assert!(ended.stderr.contains("this loop cannot be closed"), "{ended:?}");
}

#[test]
fn methods_that_cannot_fail_and_do() {
    runs("--policy", PANICKING, "infallible", &[]);
    runs("--watcher", PANICKING, "name", &[]);
}

#[test]
fn watchers_that_panic() {
    runs("--watcher", PANICKING, "add", &["this watcher panics"]);
    runs("--watcher", PANICKING, "close", &[]);
    fails("--watcher", PANICKING, "is-active", "is not active");
    fails("--watcher", PANICKING, "spawn", "this watcher panics");
}

#[test]
fn loops_and_watchers_that_break_the_rules() {
    fails("--policy", MISBEHAVING, "fails-at-once", "misbehaving.so: this loop has had enough");
    fails("--policy", MISBEHAVING, "returns-at-once", "before the program had exited");
    fails("--policy", MISBEHAVING, "refuses-all", "this loop takes nothing");
    fails("--policy", MISBEHAVING, "talkative", "many; lines; of; reasons");
    runs("--policy", MISBEHAVING, "clock-backwards", &[]);
    runs("--watcher", MISBEHAVING, "keeps-and-fails", &["this watcher has changed its mind"]);
}

#[test]
fn a_loop_that_returns_too_early_ends_no_batch_as_if_it_were_done() {
    let (_folder, folder) = folder();
    let offer = offer(&copy(MISBEHAVING, &folder), "returns-at-once");
    let ended = run(loophost(["batch", "--policy", &offer, "echo", ":::", "1", "2"]));
    assert_eq!((ended.code(), &*ended.stdout), (125, ""), "{ended:?}");
    assert!(ended.stderr.contains("misbehaving.so: the event loop stopped before"), "{ended:?}");
}

#[test]
fn a_watcher_that_keeps_the_handler_for_ever_does_not_keep_loophost() {
    runs("--watcher", MISBEHAVING, "keeps", &["has not told of the exit"]);
}

#[test]
fn a_watcher_that_keeps_handlers_does_not_keep_a_batch() {
    let (_folder, folder) = folder();
    let offer = offer(&copy(MISBEHAVING, &folder), "keeps");
    let ended =
        run(loophost(["batch", "--watcher", &offer, "sh", "-c", "echo $0; exit $0", ":::", "0", "7"]));
    assert_eq!(ended.code(), 123, "{ended:?}");
    assert!(ended.stdout.contains("0\n") && ended.stdout.contains("7\n"), "{ended:?}");
    assert!(ended.stderr.contains("has not told of the exit"), "{ended:?}");
}

#[test]
fn a_loop_that_does_not_stop_does_not_keep_loophost() {
    runs("--policy", MISBEHAVING, "never-stops", &["does not come to an end"]);
    let (_folder, folder) = folder();
    let offer = offer(&copy(MISBEHAVING, &folder), "never-stops");
    let ended = run(loophost(["batch", "--policy", &offer, "sh", "-c", "echo $0; exit $0", ":::", "7"]));
    assert_eq!((ended.code(), &*ended.stdout), (123, "7\n"), "{ended:?}");
}

/// Whether a process has mapped a file.
fn has_mapped(pid: Pid, file: &Path) -> bool {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    maps.lines().any(|line| line.ends_with(file.to_str().unwrap()))
}

/// Signals are blocked and nobody reads them.
#[test]
fn a_plugin_that_does_not_let_loophost_start_can_be_interrupted() {
    let (_folder, folder) = folder();
    let file = copy(MISBEHAVING, &folder);
    for name in ["never-made", "never-runs"] {
        for subcommand in ["run", "batch"] {
            let command = loophost([subcommand, "--policy", &offer(&file, name), "--", "true", ":::", "1"]);
            let started = Started::new(command);
            eventually("the plugin", || has_mapped(started.pid(), &file).then_some(()));
            started.signal(Signal::SIGTERM);
            let ended = started.wait();
            assert_eq!(ended.status.code(), Some(143), "{name}: {}", ended.stderr);
            assert!(ended.stderr.contains("ended by signal 15 while the plugin"), "{name}: {}", ended.stderr);
        }
    }
}

#[test]
fn a_watcher_that_tells_of_an_exit_too_early_is_not_believed() {
    let (_folder, folder) = folder();
    let offer = offer(&copy(MISBEHAVING, &folder), "tells-too-early");
    // It lives as long as nobody has seen through the watcher.
    let ended = run(loophost(["run", "--watcher", &offer, "--", "sh", "-c", "sleep 1; exit 7"]));
    assert_eq!(ended.code(), 7, "{ended:?}");
    assert!(ended.stderr.contains("which lives"), "{ended:?}");
}

fn panicking() -> &'static Plugin {
    plugin::load(&cdylib(PANICKING), &trust()).unwrap()
}

fn policy(name: &str) -> PolicyHandle {
    let base = PolicyHandle::new(DefaultEventLoopPolicy::new());
    panicking().new_policy(Some(name), &Options::new(), Some(base)).unwrap()
}

fn new_loop(name: &str) -> LoopHandle {
    policy(name).new_event_loop().unwrap()
}

#[test]
fn a_panic_is_an_error_in_the_library_too() {
    let error = panicking().new_policy(Some("constructor"), &Options::new(), None).unwrap_err();
    assert!(matches!(error.reason, OfferErrorKind::Failed { .. }), "{error}");
    assert_eq!(policy("new-loop").new_event_loop().unwrap_err().code(), ErrorCode::PANICKED);
    assert_eq!(new_loop("loop-close").close().unwrap_err().code(), ErrorCode::PANICKED);
    let base = watchers::new("auto", &Options::new()).unwrap();
    let closing = panicking().new_watcher(Some("close"), &Options::new(), Some(base)).unwrap();
    assert_eq!(closing.close().unwrap_err().code(), ErrorCode::PANICKED);
}

#[test]
fn drops_that_panic_stay_inside_in_the_library_too() {
    drop(policy("drop"));
    drop(new_loop("loop-drop"));
    drop(new_loop("callback-drop"));
    let base = watchers::new("auto", &Options::new()).unwrap();
    drop(panicking().new_watcher(Some("drop"), &Options::new(), Some(base)).unwrap());
}

#[test]
fn methods_that_cannot_fail_have_fixed_values() {
    let event_loop = new_loop("infallible");
    assert_eq!((&*event_loop.name(), event_loop.time(), event_loop.capabilities()), ("?", 0, 0));
    assert!(!event_loop.is_running() && !event_loop.is_closed());
    let base = watchers::new("auto", &Options::new()).unwrap();
    let watcher = |name| panicking().new_watcher(Some(name), &Options::new(), Some(base.clone())).unwrap();
    assert_eq!(watcher("name").name(), "?");
    assert!(!watcher("is-active").is_active());
}
