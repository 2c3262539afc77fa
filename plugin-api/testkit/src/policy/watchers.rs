//! The child watcher of a policy: made once, replaced, attached.

use loophost_plugin_api::WatcherHandle;

use super::{PolicyBench, in_thread};
use crate::{
    Case, Verdict,
    record::Record,
    spy::SpyWatcher,
    verdict::{Passed, ensure, failed},
};

pub(super) const CASES: &[Case] = &[
    Case::policy(
        "policy/watcher-cached",
        "get_child_watcher gives the same watcher each time, in every thread",
        watcher_cached,
    ),
    Case::policy(
        "policy/set-watcher",
        "set_child_watcher stores the watcher, attaches it to nothing, and closes the one before",
        set_watcher,
    ),
    Case::policy(
        "policy/set-same-watcher",
        "setting the watcher that is set already changes nothing",
        set_same_watcher,
    ),
    Case::policy(
        "policy/set-watcher-none",
        "after set_child_watcher(None) there is a new default",
        set_watcher_none,
    ),
    Case::policy(
        "policy/set-loop-attaches-watcher",
        "in the main thread set_event_loop attaches the watcher to the loop, or detaches it",
        set_loop_attaches,
    ),
    Case::policy(
        "policy/set-loop-elsewhere-leaves-watcher",
        "in other threads set_event_loop leaves the watcher alone",
        set_loop_elsewhere,
    ),
    Case::policy(
        "policy/failed-attach-changes-nothing",
        "if the watcher cannot be attached set_event_loop fails, and the loop stays what it was",
        failed_attach,
    ),
];

/// A watcher that does nothing, and what it is asked to do.
fn spy() -> (WatcherHandle, Record) {
    let record = Record::default();
    (WatcherHandle::new(SpyWatcher { record: record.clone(), ..SpyWatcher::default() }), record)
}

/// asyncio: `test_get_default_child_watcher`, `test_get_child_watcher_thread`.
fn watcher_cached(bench: &PolicyBench<'_>) -> Verdict {
    let policy = bench.with_watcher()?;
    let first = policy.get_child_watcher()?;
    ensure!(policy.get_child_watcher()?.same(&first), "the second get_child_watcher gave another watcher");
    let there = policy.clone();
    let elsewhere = in_thread(move || there.get_child_watcher())?;
    ensure!(elsewhere.same(&first), "get_child_watcher gave another watcher in another thread");
    Ok(Passed)
}

/// asyncio: `test_get_child_watcher_after_set`.
fn set_watcher(bench: &PolicyBench<'_>) -> Verdict {
    let policy = bench.with_watcher()?;
    let ((first, of_first), (second, of_second)) = (spy(), spy());
    policy.set_child_watcher(Some(first.clone()))?;
    ensure!(policy.get_child_watcher()?.same(&first), "get_child_watcher gave another one than was set");
    of_first.expect([])?;
    policy.set_child_watcher(Some(second.clone()))?;
    ensure!(policy.get_child_watcher()?.same(&second), "get_child_watcher gave another one than was set");
    of_first.expect(["close"])?;
    of_second.expect([])?;
    policy.set_child_watcher(None)?;
    of_second.expect(["close"])?;
    Ok(Passed)
}

/// asyncio closes it and keeps it.
fn set_same_watcher(bench: &PolicyBench<'_>) -> Verdict {
    let policy = bench.with_watcher()?;
    let (watcher, record) = spy();
    policy.set_child_watcher(Some(watcher.clone()))?;
    policy.set_child_watcher(Some(watcher.clone()))?;
    record.expect([])?;
    ensure!(policy.get_child_watcher()?.same(&watcher), "get_child_watcher gave another one than was set");
    policy.set_child_watcher(None)?;
    Ok(Passed)
}

fn set_watcher_none(bench: &PolicyBench<'_>) -> Verdict {
    let policy = bench.with_watcher()?;
    let (watcher, _) = spy();
    policy.set_child_watcher(Some(watcher.clone()))?;
    policy.set_child_watcher(None)?;
    let default = policy.get_child_watcher()?;
    ensure!(!default.same(&watcher), "the watcher that was replaced is still there");
    Ok(Passed)
}

/// asyncio: `test_child_watcher_replace_mainloop_existing`.
fn set_loop_attaches(bench: &PolicyBench<'_>) -> Verdict {
    bench.requires_main_thread()?;
    let policy = bench.with_watcher()?;
    let ((watcher, record), event_loop) = (spy(), policy.new_event_loop()?);
    policy.set_child_watcher(Some(watcher))?;
    policy.set_event_loop(Some(event_loop.clone()))?;
    record.expect(["attach_loop a loop"])?;
    policy.set_event_loop(None)?;
    record.expect(["attach_loop none"])?;
    policy.set_child_watcher(None)?;
    event_loop.close()?;
    Ok(Passed)
}

fn set_loop_elsewhere(bench: &PolicyBench<'_>) -> Verdict {
    bench.requires_thread_context()?;
    let policy = bench.with_watcher()?;
    let (watcher, record) = spy();
    policy.set_child_watcher(Some(watcher))?;
    let there = policy.clone();
    in_thread(move || {
        let event_loop = there.new_event_loop()?;
        there.set_event_loop(Some(event_loop.clone()))?;
        there.set_event_loop(None)?;
        event_loop.close()
    })?;
    record.expect([])?;
    policy.set_child_watcher(None)?;
    Ok(Passed)
}

/// asyncio changes the loop all the same.
fn failed_attach(bench: &PolicyBench<'_>) -> Verdict {
    bench.requires_main_thread()?;
    let policy = bench.with_watcher()?;
    let (first, second) = (policy.new_event_loop()?, policy.new_event_loop()?);
    policy.set_event_loop(Some(first.clone()))?;
    let watcher = SpyWatcher { refuses_loops: true, ..SpyWatcher::default() };
    policy.set_child_watcher(Some(WatcherHandle::new(watcher)))?;
    if policy.set_event_loop(Some(second.clone())).is_ok() {
        return Err(failed("set_event_loop: expected the error of attach_loop, but it worked"));
    }
    ensure!(policy.get_event_loop()?.same(&first), "the loop has changed although set_event_loop has failed");
    policy.set_child_watcher(None)?;
    policy.set_event_loop(None)?;
    first.close()?;
    second.close()?;
    Ok(Passed)
}
