//! Pids that are no children, and statuses that somebody else has taken.

use std::os::unix::process::parent_id;

use loophost_plugin_api::ErrorCode;

use super::WatcherBench;
use crate::{
    Case, Program, Verdict,
    exits::Exits,
    verdict::{Passed, ensure, equal, refused},
};

pub(super) const CASES: &[Case] = &[
    Case::child_watcher(
        "watcher/bad-pid",
        "what can be no pid is refused as an argument, and nothing is kept",
        bad_pid,
    ),
    Case::child_watcher(
        "watcher/reaped-elsewhere",
        "a child whose status somebody else has taken is reported, with 255 if nobody knows it any more",
        reaped_elsewhere,
    ),
    Case::child_watcher(
        "watcher/reaped-while-watched",
        "a child whose status somebody else takes while it is watched is reported once",
        reaped_while_watched,
    ),
    Case::child_watcher(
        "watcher/not-a-child",
        "a process that is no child is refused, told as lost, or never told; it harms nobody",
        not_a_child,
    ),
];

fn bad_pid(bench: &WatcherBench<'_>) -> Verdict {
    let watcher = bench.watcher()?;
    for pid in [0, -1, i64::MIN, i64::from(i32::MAX) + 1, i64::MAX] {
        let exits = Exits::default();
        let handler = exits.handler();
        let added = watcher.inside(move |watcher| Ok(watcher.add_child_handler(pid, -1, handler)))?;
        refused(&format!("add_child_handler({pid})"), added, ErrorCode::INVALID_ARGUMENT)?;
        equal("drops of the handler", exits.drops.len(), 1)?;
        let removed = watcher.inside(move |watcher| Ok(watcher.remove_child_handler(pid)))?;
        ensure!(!matches!(removed, Ok(true)), "remove_child_handler({pid}): there is none to remove");
    }
    watcher.settle()?;
    Ok(Passed)
}

/// asyncio: `test_sigchld_child_reaped_elsewhere`, but a kernel that still knows the status (6.15) is asked.
fn reaped_elsewhere(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits) = (bench.watcher()?, Exits::default());
    let child = watcher.spawn(&Program::new("exit 3"))?;
    bench.harness.steal_status(child.pid())?;
    watcher.add(&*child, &exits)?;
    watcher.wait_for(&*child, &exits)?;
    exits.expect_lost_or(child.pid(), 3)?;
    refused("a signal to a pid that is free", child.send_signal(0), ErrorCode::PROCESS_GONE)?;
    Ok(Passed)
}

fn reaped_while_watched(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits) = (bench.watcher()?, Exits::default());
    let mut child = watcher.start(&Program::waiting("exit 3"), &exits)?;
    drop(child.take_stdin());
    // Either may be the first.
    let _ = bench.harness.steal_status(child.pid());
    watcher.wait_for(&*child, &exits)?;
    watcher.settle()?;
    exits.expect_lost_or(child.pid(), 3)?;
    Ok(Passed)
}

fn not_a_child(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits) = (bench.watcher()?, Exits::default());
    let (pid, handler) = (i64::from(parent_id()), exits.handler());
    let added = watcher.inside(move |watcher| Ok(watcher.add_child_handler(pid, -1, handler)))?;
    watcher.settle()?;
    let removed = watcher.remove(pid)?;
    watcher.settle()?;
    if added.is_err() {
        ensure!(!removed && exits.is_empty(), "add_child_handler has failed, and something is registered");
        return Ok(Passed);
    }
    ensure!(exits.len() <= 1, "the handler was called {} times", exits.len());
    if !exits.is_empty() {
        // Whatever it would be, it is no status of ours.
        exits.expect_lost_or(pid, 255)?;
    }
    Ok(Passed)
}
