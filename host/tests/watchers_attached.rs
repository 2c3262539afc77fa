//! What becomes of children while the watchers that are bound to a loop lose it, change it or never had one.

#![allow(clippy::unwrap_used, reason = "tests")]

mod logged;
mod util;

use std::{
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::Duration,
};

use logged::logged;
use loophost::{
    Callback, ErrorCode, Options, WatcherHandle,
    builtin::watchers,
    process::{Child, Stdio, spawn},
};
use util::{Exits, exists, has_ended, lent, new_loop, run_until, sh, wait_for_zombie, wait_until};

const LOOP_BOUND: [&str; 2] = ["safe", "fast"];

/// `FastChildWatcher` takes the statuses of everybody's children: one case at a time.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn make(name: &str) -> WatcherHandle {
    watchers::new(name, &Options::new()).unwrap()
}

/// A child that exits with 3 when its standard input is closed.
fn waiting_child() -> Child {
    spawn(sh("read line; exit 3").stdin(Stdio::Pipe)).unwrap()
}

fn add(watcher: &WatcherHandle, child: &Child, exits: &Exits) {
    let token = watcher.begin_spawn().unwrap();
    watcher.add_child_handler(child.pid(), lent(child), exits.handler()).unwrap();
    watcher.end_spawn(token, child.pid()).unwrap();
}

/// asyncio 3.8 to 3.12 took such children and never told of them.
#[test]
fn without_a_loop_nothing_is_taken() {
    let _turn = alone();
    for name in ["pidfd", "safe", "fast", "multi-loop"] {
        let watcher = make(name);
        assert!(!watcher.is_active());
        assert_eq!(watcher.begin_spawn().unwrap_err().code(), ErrorCode::INACTIVE, "{name}");
        let (child, exits) = (spawn(sh("exit 3")).unwrap(), Exits::default());
        watcher.add_child_handler(child.pid(), lent(&child), exits.handler()).unwrap_err();
        assert!(!watcher.remove_child_handler(child.pid()).unwrap(), "{name}: nothing was registered");
        wait_for_zombie(child.pid());
        assert_eq!(loophost::process::reap(child.pid()).unwrap().deliver(0, |event| event.result), Some(3));
    }
}

#[test]
fn a_failed_attempt_to_attach_changes_nothing() {
    let _turn = alone();
    for name in LOOP_BOUND {
        let (watcher, event_loop, closed, exits) = (make(name), new_loop(), new_loop(), Exits::default());
        closed.close().unwrap();
        assert_eq!(watcher.attach_loop(Some(closed.clone())).unwrap_err().code(), ErrorCode::LOOP_CLOSED);
        watcher.begin_spawn().unwrap_err();
        watcher.attach_loop(Some(event_loop.clone())).unwrap();
        watcher.attach_loop(Some(closed)).unwrap_err();
        let mut child = waiting_child();
        add(&watcher, &child, &exits);
        child.stdin = None;
        run_until(&event_loop, "the exit", || exits.len() > 0);
        assert_eq!(exits.only(), (child.pid(), 3, 0));
        watcher.close().unwrap();
        event_loop.close().unwrap();
    }
}

/// asyncio: `test_set_loop`.
#[test]
fn children_move_with_their_watcher() {
    let _turn = alone();
    for name in LOOP_BOUND {
        let (watcher, old, new, exits) = (make(name), new_loop(), new_loop(), Exits::default());
        watcher.attach_loop(Some(old.clone())).unwrap();
        let mut child = waiting_child();
        add(&watcher, &child, &exits);
        let ((), log) = logged(|| watcher.attach_loop(Some(new.clone())).unwrap());
        assert_eq!(log, "", "nothing was lost");
        child.stdin = None;
        wait_until("the end", || has_ended(child.pid()));
        old.run_once(Some(Duration::ZERO)).unwrap();
        assert_eq!(exits.len(), 0, "it is the other loop's");
        run_until(&new, "the exit", || exits.len() > 0);
        assert_eq!(exits.only(), (child.pid(), 3, 0));
        watcher.close().unwrap();
        old.close().unwrap();
        new.close().unwrap();
    }
}

/// asyncio: `test_set_loop_race_condition`.
#[test]
fn exits_while_it_is_detached_are_reported_when_it_is_attached_again() {
    let _turn = alone();
    for name in LOOP_BOUND {
        let (watcher, event_loop, exits) = (make(name), new_loop(), Exits::default());
        watcher.attach_loop(Some(event_loop.clone())).unwrap();
        let mut child = waiting_child();
        add(&watcher, &child, &exits);
        let ((), log) = logged(|| watcher.attach_loop(None).unwrap());
        assert!(log.contains("1 child handlers"), "{log}");
        child.stdin = None;
        wait_for_zombie(child.pid());
        watcher.attach_loop(Some(event_loop.clone())).unwrap();
        // At once, and not with the pulse of the next second.
        event_loop.run_once(Some(Duration::ZERO)).unwrap();
        assert_eq!(exits.only(), (child.pid(), 3, 0));
        assert_eq!(logged(|| watcher.close().unwrap()).1, "");
        event_loop.close().unwrap();
    }
}

/// asyncio never tells of it.
#[test]
fn children_of_a_closed_loop_are_reported_elsewhere() {
    let _turn = alone();
    for name in LOOP_BOUND {
        let (watcher, event_loop, exits) = (make(name), new_loop(), Exits::default());
        watcher.attach_loop(Some(event_loop.clone())).unwrap();
        let mut children = [waiting_child(), waiting_child()];
        children.iter().for_each(|child| add(&watcher, child, &exits));
        // One exits while its loop is there and does not run, the other when it is gone.
        children[0].stdin = None;
        wait_for_zombie(children[0].pid());
        event_loop.close().unwrap();
        wait_until("the first exit", || exits.len() == 1);
        watcher.begin_spawn().unwrap_err();
        children[1].stdin = None;
        wait_until("the second exit", || exits.len() == 2);
        let expected: Vec<_> = children.iter().map(|child| (child.pid(), 3)).collect();
        assert_eq!(exits.codes(), expected);
        watcher.close().unwrap();
    }
}

/// Bpo-38323: with asyncio the children hang as long as the main thread does.
#[test]
fn a_blocked_main_thread_holds_up_no_other_loop() {
    let _turn = alone();
    let watcher = make("multi-loop");
    watcher.attach_loop(None).unwrap();
    // All threads of this process but the loop's wait, this one in join.
    let theirs = watcher.clone();
    let runner = thread::spawn(move || {
        let (event_loop, exits) = (new_loop(), Exits::default());
        let mut child = waiting_child();
        let (pid, pidfd, handler) = (child.pid(), lent(&child), exits.handler());
        event_loop.call_soon(Callback::new(move |_| theirs.add_child_handler(pid, pidfd, handler))).unwrap();
        event_loop.run_once(Some(Duration::ZERO)).unwrap();
        child.stdin = None;
        run_until(&event_loop, "the exit", || exits.len() > 0);
        event_loop.close().unwrap();
        exits.only().1
    });
    assert_eq!(runner.join().unwrap(), 3);
    watcher.close().unwrap();
}

/// asyncio's second `close` put back the handler of the first, which was dead.
#[test]
fn several_multi_loop_watchers_come_and_go_in_any_order() {
    let _turn = alone();
    let watchers = [make("multi-loop"), make("multi-loop"), make("multi-loop")];
    watchers.iter().for_each(|watcher| watcher.attach_loop(None).unwrap());
    for closed in [0, 2] {
        watchers[closed].close().unwrap();
        assert!(!watchers[closed].is_active());
    }
    let (event_loop, exits) = (new_loop(), Exits::default());
    let child = spawn(sh("exit 3")).unwrap();
    let (pid, pidfd, handler, left) = (child.pid(), lent(&child), exits.handler(), watchers[1].clone());
    event_loop.call_soon(Callback::new(move |_| left.add_child_handler(pid, pidfd, handler))).unwrap();
    run_until(&event_loop, "the exit", || exits.len() > 0);
    assert_eq!(exits.only(), (pid, 3, 0));
    watchers[1].close().unwrap();
    event_loop.close().unwrap();
}

/// asyncio: "Loop %r that handles pid %r is closed".
#[test]
fn a_multi_loop_child_of_a_closed_loop_is_reaped() {
    let _turn = alone();
    let (watcher, event_loop, exits) = (make("multi-loop"), new_loop(), Exits::default());
    watcher.attach_loop(None).unwrap();
    let mut child = waiting_child();
    let (adds, pid, pidfd, handler) = (watcher.clone(), child.pid(), lent(&child), exits.handler());
    event_loop.call_soon(Callback::new(move |_| adds.add_child_handler(pid, pidfd, handler))).unwrap();
    event_loop.run_once(Some(Duration::ZERO)).unwrap();
    event_loop.close().unwrap();
    child.stdin = None;
    wait_until("it was reaped", || child.returncode() == Some(3));
    assert_eq!(exits.len(), 0);
    watcher.close().unwrap();
}

/// asyncio: `test_sigchld_unknown_pid_during_registration`; and strangers are told of once, when the blocks end.
#[test]
fn fast_keeps_what_exits_in_a_spawn_block() {
    let _turn = alone();
    let (watcher, event_loop, exits) = (make("fast"), new_loop(), Exits::default());
    watcher.attach_loop(Some(event_loop.clone())).unwrap();
    let outer = watcher.begin_spawn().unwrap();
    let inner = watcher.begin_spawn().unwrap();
    // Children of other code, so that nobody but the watcher knows of them.
    let [stranger, late] = ["exit 5", "exit 6"].map(|script| {
        #[expect(clippy::zombie_processes, reason = "the watcher reaps it")]
        let child = std::process::Command::new("/bin/sh").args(["-c", script]).spawn().unwrap();
        i64::from(child.id())
    });
    run_until(&event_loop, "both were reaped", || !exists(stranger) && !exists(late));
    watcher.add_child_handler(late, -1, exits.handler()).unwrap();
    assert_eq!(exits.len(), 0, "not from inside");
    assert_eq!(logged(|| watcher.end_spawn(inner, 0).unwrap()).1, "", "another block is under way");
    let ((), log) = logged(|| watcher.end_spawn(outer, 0).unwrap());
    assert!(log.contains(&format!("{stranger} -> 5")) && !log.contains(&late.to_string()), "{log}");
    run_until(&event_loop, "the exit", || exits.len() > 0);
    assert_eq!(exits.only(), (late, 6, 0));
    assert_eq!(watcher.end_spawn(0, 0).unwrap_err().code(), ErrorCode::INVALID_ARGUMENT, "no block is left");
    watcher.close().unwrap();
    event_loop.close().unwrap();
}

/// asyncio: "Must use the context manager".
#[test]
fn fast_takes_nothing_outside_a_spawn_block() {
    let _turn = alone();
    let (watcher, event_loop) = (make("fast"), new_loop());
    watcher.attach_loop(Some(event_loop.clone())).unwrap();
    let child = spawn(sh("exit 0")).unwrap();
    let error = watcher.add_child_handler(child.pid(), -1, Exits::default().handler()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::INVALID_ARGUMENT);
    assert!(error.message().contains("begin_spawn"), "{error}");
    watcher.close().unwrap();
    event_loop.close().unwrap();
}

/// Whoever watches them: a process of the host keeps its status, a stranger loses it.
#[test]
fn fast_takes_everybody_s_children_and_the_host_s_keep_their_statuses() {
    let _turn = alone();
    let (watcher, event_loop, exits) = (make("fast"), new_loop(), Exits::default());
    watcher.attach_loop(Some(event_loop.clone())).unwrap();
    let (of_another, other) = (spawn(sh("exit 4")).unwrap(), make("threaded"));
    other.add_child_handler(of_another.pid(), lent(&of_another), exits.handler()).unwrap();
    let unwatched = spawn(sh("exit 5")).unwrap();
    let mut stranger = std::process::Command::new("/bin/sh").args(["-c", "exit 6"]).spawn().unwrap();
    run_until(&event_loop, "all were reaped", || {
        exits.len() == 1 && unwatched.returncode().is_some() && !exists(stranger.id().into())
    });
    assert_eq!(exits.only(), (of_another.pid(), 4, 0));
    assert_eq!(unwatched.returncode(), Some(5));
    assert_eq!(unwatched.kill().unwrap_err().code(), ErrorCode::PROCESS_GONE);
    stranger.wait().unwrap_err();
    watcher.close().unwrap();
    event_loop.close().unwrap();
}

#[test]
fn polite_fast_leaves_strangers_alone_and_sees_what_they_hide() {
    let _turn = alone();
    let mut options = Options::new();
    options.push("polite", "true");
    let (watcher, event_loop, exits) =
        (watchers::new("fast", &options).unwrap(), new_loop(), Exits::default());
    watcher.attach_loop(Some(event_loop.clone())).unwrap();
    let mut stranger = std::process::Command::new("/bin/sh").args(["-c", "exit 6"]).spawn().unwrap();
    wait_for_zombie(stranger.id().into());
    let mut child = waiting_child();
    add(&watcher, &child, &exits);
    child.stdin = None;
    run_until(&event_loop, "the exit", || exits.len() > 0);
    assert_eq!(exits.only(), (child.pid(), 3, 0));
    assert_eq!(stranger.wait().unwrap().code(), Some(6));
    watcher.close().unwrap();
    event_loop.close().unwrap();
    options.push("polite", "perhaps");
    watchers::new("fast", &options).unwrap_err();
}

/// R6: signals do not queue.
#[test]
fn children_that_exit_together_are_all_reported() {
    let _turn = alone();
    for name in ["safe", "fast", "multi-loop"] {
        let (watcher, event_loop, exits) = (make(name), new_loop(), Exits::default());
        watcher.attach_loop(Some(event_loop.clone())).unwrap();
        let mut children: Vec<_> = (0..50).map(|_| waiting_child()).collect();
        let (tell, told) = mpsc::channel();
        let adds = watcher.clone();
        let theirs: Vec<_> =
            children.iter().map(|child| (child.pid(), lent(child), exits.handler())).collect();
        let add_all = Callback::new(move |_| {
            let token = adds.begin_spawn()?;
            for (pid, pidfd, handler) in theirs {
                adds.add_child_handler(pid, pidfd, handler)?;
            }
            tell.send(()).unwrap();
            adds.end_spawn(token, 0)
        });
        event_loop.call_soon(add_all).unwrap();
        event_loop.run_once(Some(Duration::ZERO)).unwrap();
        told.recv().unwrap();
        children.iter_mut().for_each(|child| child.stdin = None);
        run_until(&event_loop, "all exits", || exits.len() == children.len());
        assert!(exits.codes().iter().all(|(_, code)| *code == 3));
        watcher.close().unwrap();
        event_loop.close().unwrap();
    }
}
