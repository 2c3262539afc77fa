//! Loops: attached, detached, changed, closed, in other threads.

use std::thread;

use loophost_plugin_api::ErrorCode;

use super::WatcherBench;
use crate::{
    Case, Program, Verdict,
    exits::Exits,
    test_loop::TestLoop,
    test_watcher::inside,
    verdict::{Passed, ensure, failed, refused, skipped},
};

pub(super) const CASES: &[Case] = &[
    Case::child_watcher(
        "watcher/attach-and-detach",
        "attached, detached and attached again, it works",
        attach_and_detach,
    ),
    Case::child_watcher(
        "watcher/exits-while-detached",
        "an exit that comes while no loop is attached is reported when one is",
        exits_while_detached,
    ),
    Case::child_watcher(
        "watcher/reattach-keeps-children",
        "attaching another loop forgets no child",
        reattach_keeps_children,
    ),
    Case::child_watcher(
        "watcher/attach-closed-loop",
        "a closed loop is refused or does no harm: with an open one the watcher works again",
        attach_closed_loop,
    ),
    Case::child_watcher(
        "watcher/attach-from-any-thread",
        "a loop may be attached from another thread",
        attach_from_thread,
    ),
    Case::child_watcher(
        "watcher/loop-in-other-thread",
        "children of a loop in another thread are reported while the main thread is blocked",
        loop_in_other_thread,
    ),
    Case::child_watcher(
        "watcher/inactive-refuses-spawn",
        "a watcher that is not active says so before anything is spawned: INACTIVE",
        inactive_refuses_spawn,
    ),
    Case::child_watcher(
        "watcher/active-without-loop",
        "a watcher that says that it is active with no loop at all takes a child, and tells of it",
        active_without_loop,
    ),
    Case::child_watcher(
        "watcher/add-without-loop",
        "a child added with no loop at all is refused, or reported as soon as there is a loop; never half of it",
        add_without_loop,
    ),
    Case::child_watcher(
        "watcher/spawn-block",
        "spawn blocks are balanced, may be nested, and may have no child",
        spawn_block,
    ),
];

/// asyncio: `test_set_loop`.
fn attach_and_detach(bench: &WatcherBench<'_>) -> Verdict {
    let watcher = bench.detached()?;
    for _ in 0..3 {
        watcher.attach_loop(Some(watcher.event_loop.clone()))?;
        let exits = Exits::default();
        let child = watcher.start(&Program::new("exit 2"), &exits)?;
        watcher.wait_for(&*child, &exits)?;
        exits.expect(child.pid(), 2)?;
        watcher.attach_loop(None)?;
    }
    watcher.attach_loop(None)?;
    Ok(Passed)
}

/// asyncio: `test_set_loop_race_condition`.
fn exits_while_detached(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits) = (bench.watcher()?, Exits::default());
    let mut child = watcher.start(&Program::waiting("exit 8"), &exits)?;
    watcher.attach_loop(None)?;
    drop(child.take_stdin());
    bench.harness.wait_for_exit(child.pid())?;
    watcher.attach_loop(Some(watcher.event_loop.clone()))?;
    watcher.wait_for(&*child, &exits)?;
    watcher.settle()?;
    exits.expect(child.pid(), 8)?;
    Ok(Passed)
}

/// asyncio's `PidfdChildWatcher` of 3.9 to 3.11 forgets all of them.
fn reattach_keeps_children(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits, second) = (bench.watcher()?, Exits::default(), bench.event_loop()?);
    let mut child = watcher.start(&Program::waiting("exit 9"), &exits)?;
    watcher.attach_loop(Some(second.clone()))?;
    drop(child.take_stdin());
    // On either of the two: a child may stay with the loop that it was added in.
    watcher.wait("the handler, on the old or the new loop", || {
        let turned = second.turn();
        turned.is_err() || !exits.is_empty()
    })?;
    second.turn()?;
    exits.expect(child.pid(), 9)?;
    // The loop of the watcher goes before the second one is closed.
    watcher.attach_loop(None)?;
    Ok(Passed)
}

fn attach_closed_loop(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits) = (bench.watcher()?, Exits::default());
    let closed = bench.harness.new_event_loop()?;
    closed.close()?;
    let attached = watcher.attach_loop(Some(closed));
    if let Err(error) = &attached {
        ensure!(error.code() == ErrorCode::LOOP_CLOSED, "expected the error LOOP_CLOSED, got {error:?}");
    } else {
        watcher.attach_loop(Some(watcher.event_loop.clone()))?;
    }
    // After a refusal: still attached to the loop before.
    let child = watcher.start(&Program::new("exit 1"), &exits)?;
    watcher.wait_for(&*child, &exits)?;
    exits.expect(child.pid(), 1)?;
    Ok(Passed)
}

/// asyncio refuses that, and is half attached afterwards.
fn attach_from_thread(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits) = (bench.detached()?, Exits::default());
    let (there, event_loop) = ((*watcher).clone(), watcher.event_loop.clone());
    thread::spawn(move || there.attach_loop(Some(event_loop)))
        .join()
        .map_err(|_| failed("attach_loop panicked in another thread"))??;
    let child = watcher.start(&Program::new("exit 1"), &exits)?;
    watcher.wait_for(&*child, &exits)?;
    exits.expect(child.pid(), 1)?;
    Ok(Passed)
}

/// asyncio: bpo-38323, where `MultiLoopChildWatcher` hangs.
fn loop_in_other_thread(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits, child) =
        (bench.detached()?, Exits::default(), bench.harness.processes().spawn(&Program::waiting("exit 7"))?);
    let (there, event_loop, patience) =
        ((*watcher).clone(), watcher.event_loop.clone(), bench.harness.patience());
    let (pid, calls, mut child) = (child.pid(), exits.clone(), child);
    let verdict = thread::spawn(move || {
        there.attach_loop(Some(event_loop.clone()))?;
        let event_loop = TestLoop::new(event_loop, patience)?;
        let (pidfd, handler) = (child.pidfd(), calls.handler());
        inside(&event_loop, &there, move |watcher| {
            let token = watcher.begin_spawn()?;
            watcher.add_child_handler(pid, pidfd, handler)?;
            watcher.end_spawn(token, pid)
        })?;
        drop(child.take_stdin());
        event_loop.turns_until("the handler, with the main thread blocked", || !calls.is_empty())
    })
    .join();
    verdict.map_err(|_| failed("the other thread panicked"))??;
    exits.expect(pid, 7)?;
    Ok(Passed)
}

/// asyncio: `test_create_subprocess_fails_with_inactive_watcher`.
fn inactive_refuses_spawn(bench: &WatcherBench<'_>) -> Verdict {
    let watcher = bench.detached()?;
    if watcher.is_active() {
        return Err(skipped("it is active with no loop at all"));
    }
    refused("begin_spawn while not active", watcher.begin_spawn(), ErrorCode::INACTIVE)?;
    Ok(Passed)
}

fn active_without_loop(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits, other) = (bench.detached()?, Exits::default(), bench.event_loop()?);
    if !watcher.is_active() {
        return Err(skipped("it is active with a loop only"));
    }
    let token = watcher.begin_spawn()?;
    let mut child = watcher.spawn_stranger(&Program::waiting("exit 4"))?;
    watcher.add_child_handler(child.pid(), child.pidfd(), exits.handler())?;
    watcher.end_spawn(token, child.pid())?;
    drop(child.take_stdin());
    // A loop that the watcher does not know, for the time to pass.
    other.turns_until("the handler, with no loop at all", || !exits.is_empty())?;
    exits.expect(child.pid(), 4)?;
    Ok(Passed)
}

fn add_without_loop(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits) = (bench.detached()?, Exits::default());
    let mut child = watcher.spawn_stranger(&Program::waiting("exit 3"))?;
    let added = watcher.add_child_handler(child.pid(), child.pidfd(), exits.handler());
    drop(child.take_stdin());
    bench.harness.wait_for_exit(child.pid())?;
    watcher.attach_loop(Some(watcher.event_loop.clone()))?;
    if added.is_err() {
        watcher.settle()?;
        ensure!(exits.is_empty(), "add_child_handler has failed, and the handler was called");
        ensure!(exits.drops.len() == 1, "add_child_handler has failed, and the handler is still there");
        // Nothing of the child was lost.
        watcher.add(&*child, &exits)?;
    }
    watcher.wait_for(&*child, &exits)?;
    exits.expect(child.pid(), 3)?;
    Ok(Passed)
}

fn spawn_block(bench: &WatcherBench<'_>) -> Verdict {
    let watcher = bench.watcher()?;
    watcher.inside(|watcher| {
        let outer = watcher.begin_spawn()?;
        let inner = watcher.begin_spawn()?;
        watcher.end_spawn(inner, 0)?;
        watcher.end_spawn(outer, 0)
    })?;
    let is_active = watcher.inside(|watcher| Ok(watcher.is_active()))?;
    ensure!(is_active, "is_active in a running loop that is attached: expected true");
    watcher.settle()?;
    Ok(Passed)
}
