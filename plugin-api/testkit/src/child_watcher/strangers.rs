//! Children that are none of the watcher's.

use std::process::{Command, Stdio};

use super::WatcherBench;
use crate::{Case, Program, Verdict, exits::Exits, verdict::Passed};

pub(super) const CASES: &[Case] = &[
    Case::child_watcher(
        "watcher/leaves-others-alone",
        "the status of a child that was not given to the watcher is kept for whoever asks the host",
        leaves_others_alone,
    ),
    Case::child_watcher(
        "watcher/stranger-in-spawn-block",
        "the exit of a stranger inside a spawn block confuses nobody and is not consumed",
        stranger_in_spawn_block,
    ),
    Case::child_watcher(
        "watcher/foreign-dies-in-spawn-block",
        "a child of other code that exits in a spawn block before it is added keeps its status for the handler",
        foreign_dies_in_spawn_block,
    ),
    Case::child_watcher(
        "watcher/foreign-child",
        "a child that somebody else in this process has started can be watched",
        foreign_child,
    ),
    Case::child_watcher(
        "watcher/two-watchers",
        "two watchers at the same time do not take each other's children",
        two_watchers,
    ),
];

fn leaves_others_alone(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits) = (bench.watcher()?, Exits::default());
    let stranger = watcher.spawn_stranger(&Program::new("exit 5"))?;
    bench.harness.wait_for_exit(stranger.pid())?;
    // Each of these makes a watcher look at its children.
    watcher.settle()?;
    watcher.settle()?;
    watcher.add(&*stranger, &exits)?;
    watcher.wait_for(&*stranger, &exits)?;
    exits.expect(stranger.pid(), 5)?;
    Ok(Passed)
}

/// asyncio: `test_sigchld_unknown_pid_during_registration`.
fn stranger_in_spawn_block(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits, of_stranger) = (bench.watcher()?, Exits::default(), Exits::default());
    let token = watcher.inside(|watcher| watcher.begin_spawn())?;
    let stranger = watcher.spawn_stranger(&Program::new("exit 6"))?;
    let child = watcher.spawn_stranger(&Program::new("exit 7"))?;
    bench.harness.wait_for_exit(stranger.pid())?;
    bench.harness.wait_for_exit(child.pid())?;
    watcher.event_loop.turn()?;
    let (pid, pidfd, handler) = (child.pid(), child.pidfd(), exits.handler());
    watcher.inside(move |watcher| {
        watcher.add_child_handler(pid, pidfd, handler)?;
        watcher.end_spawn(token, pid)
    })?;
    watcher.wait_for(&*child, &exits)?;
    exits.expect(child.pid(), 7)?;
    watcher.add(&*stranger, &of_stranger)?;
    watcher.wait_for(&*stranger, &of_stranger)?;
    of_stranger.expect(stranger.pid(), 6)?;
    Ok(Passed)
}

/// asyncio: `FastChildWatcher` reaps it, and keeps it as a zombie of its own.
fn foreign_dies_in_spawn_block(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits) = (bench.watcher()?, Exits::default());
    let token = watcher.inside(|watcher| watcher.begin_spawn())?;
    let foreign = Command::new("/bin/sh").args(["-c", "exit 6"]).spawn()?;
    let (pid, handler) = (i64::from(foreign.id()), exits.handler());
    bench.harness.wait_for_exit(pid)?;
    // Makes every watcher look, in a block inside this one.
    watcher.settle()?;
    watcher.inside(move |watcher| {
        watcher.add_child_handler(pid, -1, handler)?;
        watcher.end_spawn(token, pid)
    })?;
    watcher.wait("the handler of a foreign child", || !exits.is_empty())?;
    exits.expect(pid, 6)?;
    Ok(Passed)
}

/// What asyncio's users lost with its watchers: a pid that came from anywhere.
fn foreign_child(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits) = (bench.watcher()?, Exits::default());
    let mut shell = Command::new("/bin/sh");
    let mut foreign = shell.args(["-c", "read line; exit 5"]).stdin(Stdio::piped()).spawn()?;
    let (pid, handler) = (i64::from(foreign.id()), exits.handler());
    watcher.inside(move |watcher| {
        let token = watcher.begin_spawn()?;
        watcher.add_child_handler(pid, -1, handler)?;
        watcher.end_spawn(token, pid)
    })?;
    drop(foreign.stdin.take());
    watcher.wait("the handler of a foreign child", || !exits.is_empty())?;
    exits.expect(pid, 5)?;
    Ok(Passed)
}

fn two_watchers(bench: &WatcherBench<'_>) -> Verdict {
    let (first, second) = (bench.watcher()?, bench.watcher()?);
    let (first_exits, second_exits) = (Exits::default(), Exits::default());
    let a = first.start(&Program::new("exit 1"), &first_exits)?;
    let b = second.start(&Program::new("exit 2"), &second_exits)?;
    bench.harness.wait_for_exit(a.pid()).and_then(|()| bench.harness.wait_for_exit(b.pid()))?;
    first.wait_for(&*a, &first_exits)?;
    second.wait_for(&*b, &second_exits)?;
    first_exits.expect(a.pid(), 1)?;
    second_exits.expect(b.pid(), 2)?;
    // The end of one does not end the other, as with asyncio's MultiLoopChildWatcher.
    first.close()?;
    second.settle()?;
    Ok(Passed)
}
