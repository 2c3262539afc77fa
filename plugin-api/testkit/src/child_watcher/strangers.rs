//! Children that are none of the watcher's.

use super::WatcherBench;
use crate::{
    Case, Program, Verdict,
    exits::Exits,
    verdict::{Passed, ensure},
};

pub(super) const CASES: &[Case] = &[
    Case::child_watcher(
        "watcher/leaves-others-alone",
        "a child that was not given to the watcher is not reaped by it",
        leaves_others_alone,
    ),
    Case::child_watcher(
        "watcher/stranger-in-spawn-block",
        "the exit of a stranger inside a spawn block confuses nobody and is not consumed",
        stranger_in_spawn_block,
    ),
    Case::child_watcher(
        "watcher/two-watchers",
        "two watchers at the same time do not take each other's children",
        two_watchers,
    ),
];

fn leaves_others_alone(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits) = (bench.watcher()?, Exits::default());
    let stranger = watcher.spawn(&Program::new("exit 5"))?;
    bench.harness.wait_for_exit(stranger.pid())?;
    // Each of these makes a watcher look at its children.
    watcher.settle()?;
    watcher.settle()?;
    ensure!(bench.harness.exists(stranger.pid()), "the watcher has reaped a child that it was not given");
    watcher.add(&*stranger, &exits)?;
    watcher.wait_for(&*stranger, &exits)?;
    exits.expect(stranger.pid(), 5)?;
    Ok(Passed)
}

/// asyncio: `test_sigchld_unknown_pid_during_registration`.
fn stranger_in_spawn_block(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits, of_stranger) = (bench.watcher()?, Exits::default(), Exits::default());
    let token = watcher.inside(|watcher| watcher.begin_spawn())?;
    let stranger = watcher.spawn(&Program::new("exit 6"))?;
    let child = watcher.spawn(&Program::new("exit 7"))?;
    bench.harness.wait_for_exit(stranger.pid())?;
    bench.harness.wait_for_exit(child.pid())?;
    watcher.event_loop.turn()?;
    watcher.add(&*child, &exits)?;
    let pid = child.pid();
    watcher.inside(move |watcher| watcher.end_spawn(token, pid))?;
    watcher.wait_for(&*child, &exits)?;
    exits.expect(child.pid(), 7)?;
    watcher.add(&*stranger, &of_stranger)?;
    watcher.wait_for(&*stranger, &of_stranger)?;
    of_stranger.expect(stranger.pid(), 6)?;
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
