//! What other code may do to SIGCHLD, and no watcher loses a child by it. In the main thread, whose signal mask counts.

#![allow(clippy::unwrap_used, unsafe_code, reason = "tests")]

mod main_thread;
mod util;

use loophost::{
    Event, Options,
    builtin::watchers,
    process::{Child, Stdio, spawn},
};
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, pthread_sigmask, sigaction,
};
use util::{new_loop, run_until, sh, watch};

main_thread_tests![
    ignored_before_it_is_attached,
    ignored_while_a_child_lives,
    blocked_in_the_main_thread,
    handled_by_somebody_else,
];

const WATCHERS: [&str; 5] = ["safe", "fast", "multi-loop", "threaded", "pidfd"];

/// A child that exits with 3 when its standard input is closed.
fn waiting_child() -> Child {
    spawn(sh("read line; exit 3").stdin(Stdio::Pipe)).unwrap()
}

/// Each watcher with a child, from before what `disturb` does until its exit was reported; what that says.
fn each_watcher(disturb: impl Fn(), repair: impl Fn(), check: impl Fn(&str, (i64, u32))) {
    for name in WATCHERS {
        let (watcher, event_loop) = (watchers::new(name, &Options::new()).unwrap(), new_loop());
        watcher.attach_loop(Some(event_loop.clone())).unwrap();
        let mut child = waiting_child();
        let exits = watch(&watcher, &event_loop, &child);
        disturb();
        child.stdin = None;
        run_until(&event_loop, name, || exits.len() > 0);
        let (_, code, flags) = exits.only();
        check(name, (code, flags));
        watcher.close().unwrap();
        repair();
        event_loop.close().unwrap();
    }
}

fn set(handler: SigHandler) {
    let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler of this test does nothing, the others are no handlers.
    unsafe { sigaction(Signal::SIGCHLD, &action) }.unwrap();
}

fn is_right(name: &str, exit: (i64, u32)) {
    assert_eq!(exit, (3, 0), "{name}");
}

/// The kernel keeps no status then: a watcher that reports at all says 255, or what the pidfd still knows.
fn is_right_or_lost(name: &str, exit: (i64, u32)) {
    assert!(matches!(exit, (3, 0 | Event::RECOVERED) | (255, Event::STATUS_LOST)), "{name}: {exit:?}");
}

/// As a careless launcher leaves it. asyncio 3.7 returned the right code, because its watcher's handler ended that; so do
/// those of ours that have one.
fn ignored_before_it_is_attached() {
    for name in WATCHERS {
        set(SigHandler::SigIgn);
        let (watcher, event_loop) = (watchers::new(name, &Options::new()).unwrap(), new_loop());
        watcher.attach_loop(Some(event_loop.clone())).unwrap();
        let mut child = waiting_child();
        let exits = watch(&watcher, &event_loop, &child);
        child.stdin = None;
        run_until(&event_loop, name, || exits.len() > 0);
        let (_, code, flags) = exits.only();
        match name {
            "safe" | "fast" | "multi-loop" => is_right(name, (code, flags)),
            _ => is_right_or_lost(name, (code, flags)),
        }
        watcher.close().unwrap();
        event_loop.close().unwrap();
    }
    set(SigHandler::SigDfl);
}

fn ignored_while_a_child_lives() {
    each_watcher(|| set(SigHandler::SigIgn), || set(SigHandler::SigDfl), is_right_or_lost);
}

/// In all threads: the broker's has them all blocked, and no other thread lives here.
fn blocked_in_the_main_thread() {
    let mut only = SigSet::empty();
    only.add(Signal::SIGCHLD);
    let block = |how| pthread_sigmask(how, Some(&only), None).unwrap();
    each_watcher(|| block(SigmaskHow::SIG_BLOCK), || block(SigmaskHow::SIG_UNBLOCK), is_right);
}

/// Whoever it was does not call the handler that was there before.
fn handled_by_somebody_else() {
    extern "C" fn careless(_: i32) {}
    each_watcher(|| set(SigHandler::Handler(careless)), || set(SigHandler::SigDfl), is_right);
}
