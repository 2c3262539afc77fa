//! Exits: each is reported once, with the right returncode.

use std::mem;

use loophost_plugin_api::{Error, ErrorCode};

use super::WatcherBench;
use crate::{
    Case, Program, Verdict,
    exits::Exits,
    verdict::{Passed, ensure, equal, failed, refused, skipped},
};

pub(super) const CASES: &[Case] = &[
    Case::child_watcher(
        "watcher/exit-status",
        "the returncode of a child that exits is its exit status",
        exit_status,
    ),
    Case::child_watcher(
        "watcher/exit-by-signal",
        "the returncode of a child that signal N ends is -N",
        exit_by_signal,
    ),
    Case::child_watcher(
        "watcher/event-is-complete",
        "a handler is told pid, returncode and raw status",
        event_complete,
    ),
    Case::child_watcher(
        "watcher/not-while-alive",
        "a handler is not called while the child lives, once when it has exited, and not again",
        not_while_alive,
    ),
    Case::child_watcher(
        "watcher/two-children",
        "children are told apart, in whatever order they exit",
        two_children,
    ),
    Case::child_watcher(
        "watcher/two-at-once",
        "children that exit together are all reported, though their signals may be one",
        two_at_once,
    ),
    Case::child_watcher(
        "watcher/already-dead",
        "a child that has exited before it is added is reported all the same",
        already_dead,
    ),
    Case::child_watcher("watcher/without-pidfd", "a child is watched without a pidfd too", without_pidfd),
    Case::child_watcher(
        "watcher/lent-pidfd",
        "the pidfd is lent: it is as open after the exit as it was before",
        lent_pidfd,
    ),
    Case::child_watcher(
        "watcher/many-children",
        "a hundred children at once are all reported, each with its own status",
        many_children,
    ),
    Case::child_watcher(
        "watcher/reaped-by-host",
        "the watcher leaves the status to the host: it asks host::reap and does not wait itself",
        reaped_by_host,
    ),
    Case::child_watcher(
        "watcher/no-signal-after-exit",
        "once a handler was called, no signal can reach the pid any more",
        no_signal_after_exit,
    ),
];

fn exit_status(bench: &WatcherBench<'_>) -> Verdict {
    let watcher = bench.watcher()?;
    for code in [0, 3, 255] {
        let exits = Exits::default();
        let child = watcher.start(&Program::new(format!("exit {code}")), &exits)?;
        watcher.wait_for(&*child, &exits)?;
        exits.expect(child.pid(), code)?;
    }
    Ok(Passed)
}

/// asyncio: `test_kill`, `test_terminate`, `test_send_signal`.
fn exit_by_signal(bench: &WatcherBench<'_>) -> Verdict {
    let watcher = bench.watcher()?;
    for signum in [9, 15, 1] {
        let exits = Exits::default();
        let child = watcher.start(&Program::waiting("exit 1"), &exits)?;
        child.send_signal(signum)?;
        watcher.wait_for(&*child, &exits)?;
        exits.expect(child.pid(), i64::from(-signum))?;
    }
    Ok(Passed)
}

fn event_complete(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits) = (bench.watcher()?, Exits::default());
    let child = watcher.start(&Program::new("exit 7"), &exits)?;
    watcher.wait_for(&*child, &exits)?;
    let exit = exits.only()?;
    ensure!(exit.is_child_event, "the event is not of the kind CHILD");
    equal("its pid (`aux`)", exit.pid, child.pid())?;
    equal("its returncode (`result`)", exit.returncode, 7)?;
    equal("its raw status (`child_exit`)", exit.raw_status, Some(7 << 8))?;
    Ok(Passed)
}

/// asyncio: `test_sigchld`.
fn not_while_alive(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits) = (bench.watcher()?, Exits::default());
    let mut child = watcher.start(&Program::waiting("exit 4"), &exits)?;
    // Another child's exit makes every watcher look.
    watcher.settle()?;
    ensure!(exits.is_empty(), "the handler was called while the child lives: {:?}", exits.all());
    drop(child.take_stdin());
    watcher.wait_for(&*child, &exits)?;
    watcher.settle()?;
    exits.expect(child.pid(), 4)?;
    Ok(Passed)
}

/// asyncio: `test_sigchld_two_children`.
fn two_children(bench: &WatcherBench<'_>) -> Verdict {
    let watcher = bench.watcher()?;
    let (first_exits, second_exits) = (Exits::default(), Exits::default());
    let mut first = watcher.start(&Program::waiting("exit 1"), &first_exits)?;
    let mut second = watcher.start(&Program::waiting("exit 2"), &second_exits)?;
    drop(second.take_stdin());
    watcher.wait_for(&*second, &second_exits)?;
    second_exits.expect(second.pid(), 2)?;
    ensure!(first_exits.is_empty(), "the handler of the child that lives was called");
    drop(first.take_stdin());
    watcher.wait_for(&*first, &first_exits)?;
    first_exits.expect(first.pid(), 1)?;
    second_exits.expect(second.pid(), 2)?;
    Ok(Passed)
}

/// asyncio: `test_sigchld_two_children_terminating_together`.
fn two_at_once(bench: &WatcherBench<'_>) -> Verdict {
    let watcher = bench.watcher()?;
    let (first_exits, second_exits) = (Exits::default(), Exits::default());
    let mut first = watcher.start(&Program::waiting("exit 1"), &first_exits)?;
    let mut second = watcher.start(&Program::waiting("kill -9 $$"), &second_exits)?;
    drop((first.take_stdin(), second.take_stdin()));
    // No turn until both are gone.
    bench.harness.wait_for_exit(first.pid())?;
    bench.harness.wait_for_exit(second.pid())?;
    watcher.wait("both handlers", || !first_exits.is_empty() && !second_exits.is_empty())?;
    first_exits.expect(first.pid(), 1)?;
    second_exits.expect(second.pid(), -9)?;
    Ok(Passed)
}

/// asyncio: `test_sigchld_race_condition`.
fn already_dead(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits) = (bench.watcher()?, Exits::default());
    let child = watcher.spawn(&Program::new("exit 5"))?;
    bench.harness.wait_for_exit(child.pid())?;
    watcher.add(&*child, &exits)?;
    watcher.wait_for(&*child, &exits)?;
    watcher.settle()?;
    exits.expect(child.pid(), 5)?;
    Ok(Passed)
}

fn without_pidfd(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits) = (bench.watcher()?, Exits::default());
    let mut child = watcher.spawn(&Program::waiting("exit 6"))?;
    let (pid, handler) = (child.pid(), exits.handler());
    watcher.in_block(&*child, move |watcher| watcher.add_child_handler(pid, -1, handler))?;
    drop(child.take_stdin());
    watcher.wait_for(&*child, &exits)?;
    exits.expect(child.pid(), 6)?;
    Ok(Passed)
}

fn lent_pidfd(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits) = (bench.watcher()?, Exits::default());
    let mut child = watcher.spawn(&Program::waiting("exit 6"))?;
    let Ok(lent @ 0..) = i32::try_from(child.pidfd()) else {
        return Err(skipped("there are no pidfds here"));
    };
    let open_for = || Ok::<_, Error>(bench.harness.system_state()?.descriptors.remove(&lent));
    let before = open_for()?;
    watcher.add(&*child, &exits)?;
    drop(child.take_stdin());
    watcher.wait_for(&*child, &exits)?;
    let after = open_for()?;
    if after != before {
        // Its owner would close whatever has the number now, or die of it.
        mem::forget(child);
        return Err(failed(format!("the descriptor that it was lent was {before:?}, and is {after:?}")));
    }
    Ok(Passed)
}

fn many_children(bench: &WatcherBench<'_>) -> Verdict {
    const CHILDREN: usize = 100;
    let (watcher, exits) = (bench.watcher()?, Exits::default());
    let mut children = Vec::new();
    for n in 0..CHILDREN {
        children.push(watcher.start(&Program::waiting(&format!("exit {n}")), &exits)?);
    }
    children.iter_mut().for_each(|child| drop(child.take_stdin()));
    watcher.wait("a hundred handlers", || exits.len() >= CHILDREN)?;
    watcher.settle()?;
    let mut got: Vec<_> = exits.all().iter().map(|exit| (exit.pid, exit.returncode)).collect();
    let expected = children.iter().map(|child| child.pid()).zip(0..);
    let mut expected: Vec<(i64, i64)> = expected.collect();
    got.sort_unstable();
    expected.sort_unstable();
    let wrong = got.iter().find(|exit| !expected.contains(exit));
    ensure!(wrong.is_none(), "pid and returncode {wrong:?} is no child's; {} calls", got.len());
    equal("the number of calls", got.len(), CHILDREN)?;
    Ok(Passed)
}

fn reaped_by_host(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits) = (bench.watcher()?, Exits::default());
    let child = watcher.start(&Program::new("exit 3"), &exits)?;
    watcher.wait_for(&*child, &exits)?;
    ensure!(
        child.was_reaped_by_host(),
        "the host has not taken the status of process {}: the watcher has, or nobody",
        child.pid()
    );
    equal("the returncode that the host knows", child.returncode(), Some(3))?;
    Ok(Passed)
}

fn no_signal_after_exit(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits) = (bench.watcher()?, Exits::default());
    let child = watcher.start(&Program::new("exit 0"), &exits)?;
    watcher.wait_for(&*child, &exits)?;
    refused("a signal to a child that was reported", child.send_signal(0), ErrorCode::PROCESS_GONE)?;
    Ok(Passed)
}
