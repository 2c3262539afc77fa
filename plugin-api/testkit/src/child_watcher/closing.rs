//! Ends: of the watcher, of the loop, and what is left then.

use loophost_plugin_api::Error;

use super::WatcherBench;
use crate::{
    Case, Program, Verdict,
    exits::Exits,
    test_watcher::TestWatcher,
    verdict::{Passed, ensure, equal, failed},
};

pub(super) const CASES: &[Case] = &[
    Case::child_watcher("watcher/close-twice", "closing twice is fine", close_twice),
    Case::child_watcher(
        "watcher/close-drops-handlers",
        "close drops the handlers of children that live; none of them is called",
        close_drops_handlers,
    ),
    Case::child_watcher(
        "watcher/close-leaves-no-zombie",
        "children that outlive their watcher are reaped by the host",
        close_leaves_no_zombie,
    ),
    Case::child_watcher(
        "watcher/drop-is-close",
        "a watcher that is dropped with children pending leaves no zombie and calls nobody",
        drop_is_close,
    ),
    Case::child_watcher(
        "watcher/loop-closed-before-exit",
        "a child whose loop is closed before it exits is reaped all the same",
        loop_closed_before_exit,
    ),
    Case::child_watcher(
        "watcher/leaves-nothing",
        "after twenty children no descriptor, thread or zombie is left of them",
        leaves_nothing,
    ),
    Case::child_watcher(
        "watcher/removed-leaves-nothing",
        "of children whose handlers were removed no descriptor or thread is left once they have exited",
        removed_leaves_nothing,
    ),
    Case::child_watcher(
        "watcher/closed-leaves-nothing",
        "of children whose watcher was closed no descriptor or thread is left once they have exited",
        closed_leaves_nothing,
    ),
    Case::child_watcher(
        "watcher/added-again-takes-no-more",
        "a living child that is removed and added again and again takes no more descriptors or threads for it",
        added_again_takes_no_more,
    ),
    Case::child_watcher("watcher/has-name", "the watcher has a name, and no unknown extension", has_name),
];

fn close_twice(bench: &WatcherBench<'_>) -> Verdict {
    let watcher = bench.watcher()?;
    watcher.close()?;
    watcher.close()?;
    Ok(Passed)
}

/// asyncio: `test_close`.
fn close_drops_handlers(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits) = (bench.watcher()?, Exits::default());
    let mut child = watcher.start(&Program::waiting("exit 0"), &exits)?;
    watcher.close()?;
    equal("drops of the handler", exits.drops.len(), 1)?;
    drop(child.take_stdin());
    bench.harness.wait_for_exit(child.pid())?;
    watcher.event_loop.turn()?;
    watcher.event_loop.turn()?;
    ensure!(exits.is_empty(), "a handler was called after close: {:?}", exits.all());
    Ok(Passed)
}

fn close_leaves_no_zombie(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits) = (bench.watcher()?, Exits::default());
    let mut alive = watcher.start(&Program::waiting("exit 0"), &exits)?;
    let dead = watcher.start(&Program::new("exit 0"), &exits)?;
    watcher.close()?;
    let pids = [alive.pid(), dead.pid()];
    drop(alive.take_stdin());
    drop((alive, dead));
    watcher.wait("the host to reap what the watcher has left", || {
        pids.iter().all(|pid| !bench.harness.exists(*pid))
    })?;
    Ok(Passed)
}

fn drop_is_close(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits, event_loop) = (bench.watcher()?, Exits::default(), bench.event_loop()?);
    let mut child = watcher.start(&Program::waiting("exit 0"), &exits)?;
    // Handle and loop go without a close of the watcher.
    watcher.abandon();
    let pid = child.pid();
    drop(child.take_stdin());
    drop(child);
    event_loop.turns_until("the host to reap what the watcher has left", || !bench.harness.exists(pid))?;
    ensure!(exits.is_empty(), "a handler was called after the watcher was dropped: {:?}", exits.all());
    equal("drops of the handler", exits.drops.len(), 1)?;
    Ok(Passed)
}

/// asyncio: "Loop %r that handles pid %r is closed", and Pidfd leaks a descriptor and a zombie.
fn loop_closed_before_exit(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits, other) = (bench.watcher()?, Exits::default(), bench.event_loop()?);
    let mut child = watcher.start(&Program::waiting("exit 0"), &exits)?;
    watcher.event_loop.close()?;
    let pid = child.pid();
    drop(child.take_stdin());
    drop(child);
    other.turns_until("a child whose loop is closed to be reaped", || !bench.harness.exists(pid))?;
    ensure!(exits.len() <= 1, "the handler was called {} times", exits.len());
    Ok(Passed)
}

fn leaves_nothing(bench: &WatcherBench<'_>) -> Verdict {
    let watcher = bench.watcher()?;
    // The first ones may leave what a process needs once.
    watcher.settle()?;
    watcher.settle()?;
    let before = bench.harness.system_state()?;
    for _ in 0..20 {
        watcher.settle()?;
    }
    let start = std::time::Instant::now();
    // A thread that has called its handler has yet to end.
    loop {
        let after = bench.harness.system_state()?;
        let threads = after.threads.len() <= before.threads.len();
        if threads && after.children.len() <= before.children.len() && after.same_descriptors(&before).is_ok()
        {
            return Ok(Passed);
        }
        if start.elapsed() > bench.harness.patience() {
            after.same_descriptors(&before)?;
            let (after, before) = (&after, &before);
            return Err(failed(format!(
                "before: threads {:?}, children {:?}; after: {:?}, {:?}",
                before.threads, before.children, after.threads, after.children
            )));
        }
        watcher.event_loop.run_once(Some(std::time::Duration::from_millis(10)))?;
    }
}

fn removed_leaves_nothing(bench: &WatcherBench<'_>) -> Verdict {
    let watcher = bench.watcher()?;
    let before = settled(bench, &watcher)?;
    for _ in 0..10 {
        let mut child = watcher.start(&Program::waiting("exit 0"), &Exits::default())?;
        ensure!(watcher.remove(child.pid())?, "remove_child_handler: expected true");
        drop(child.take_stdin());
    }
    wait_for_one_more(bench, &watcher, before, "ten children whose handlers were removed to leave nothing")?;
    Ok(Passed)
}

fn closed_leaves_nothing(bench: &WatcherBench<'_>) -> Verdict {
    let watcher = bench.watcher()?;
    let before = settled(bench, &watcher)?;
    let start = || watcher.start(&Program::waiting("exit 0"), &Exits::default());
    let children = (0..10).map(|_| start()).collect::<Verdict<Vec<_>>>()?;
    watcher.close()?;
    // Their standard input is closed with them.
    drop(children);
    wait_for_one_more(bench, &watcher, before, "ten children whose watcher was closed to leave nothing")?;
    Ok(Passed)
}

fn added_again_takes_no_more(bench: &WatcherBench<'_>) -> Verdict {
    let watcher = bench.watcher()?;
    watcher.settle()?;
    let child = watcher.start(&Program::waiting("exit 0"), &Exits::default())?;
    let before = settled(bench, &watcher)?;
    for _ in 0..10 {
        ensure!(watcher.remove(child.pid())?, "remove_child_handler: expected true");
        watcher.add(&*child, &Exits::default())?;
    }
    wait_for_one_more(bench, &watcher, before, "a child that lives to be watched once, after ten times")?;
    Ok(Passed)
}

/// How many descriptors and threads this process has.
type Held = (usize, usize);

fn held(bench: &WatcherBench<'_>) -> Result<Held, Error> {
    let state = bench.harness.system_state()?;
    Ok((state.descriptors.len(), state.threads.len()))
}

/// With what a process needs once, which the first children may leave.
#[track_caller]
fn settled(bench: &WatcherBench<'_>, watcher: &TestWatcher<'_>) -> Verdict<Held> {
    watcher.settle()?;
    watcher.settle()?;
    Ok(held(bench)?)
}

/// A thread that has waited has yet to end, and the host to reap children; it may keep a thread and a descriptor for
/// that.
#[track_caller]
fn wait_for_one_more(
    bench: &WatcherBench<'_>,
    watcher: &TestWatcher<'_>,
    before: Held,
    what: &str,
) -> Verdict<()> {
    watcher.wait(what, || held(bench).is_ok_and(|now| now.0 <= before.0 + 1 && now.1 <= before.1 + 1))
}

fn has_name(bench: &WatcherBench<'_>) -> Verdict {
    let watcher = bench.detached()?;
    let name = watcher.name();
    ensure!(!name.is_empty() && name != "?", "the name is {name:?}");
    let nothing = watcher.extension("loophost.no-such-extension/1");
    ensure!(nothing.is_null(), "it has a table for an extension that there is not");
    Ok(Passed)
}
