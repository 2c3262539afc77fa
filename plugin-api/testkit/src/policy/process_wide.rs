//! The policy as that of the process.

use std::sync::{Arc, Mutex, PoisonError, atomic::Ordering::SeqCst};

use loophost_plugin_api::{Callback, Error, ErrorCode, LoopHandle, PolicyHandle, WatcherHandle, host};

use super::{Installed, PolicyBench};
use crate::{
    Case, Program, Verdict,
    exits::Exits,
    record::Record,
    spy::{SpyPolicy, SpyWatcher},
    test_loop::TestLoop,
    verdict::{Passed, ensure, equal, refused},
};

pub(super) const CASES: &[Case] = &[
    Case::policy(
        "policy/installed",
        "set_event_loop_policy installs it, and None a fresh default",
        installed,
    ),
    Case::policy(
        "policy/running-loop-wins",
        "inside a running loop get_event_loop is that loop, and the policy is not asked",
        running_loop_wins,
    ),
    Case::policy(
        "policy/inactive-watcher-spawns-nothing",
        "under a watcher that is not active nothing is spawned: INACTIVE",
        inactive_spawns_nothing,
    ),
    Case::policy(
        "policy/spawn-sequence",
        "around a spawn the watcher is asked: is_active, begin_spawn, add_child_handler, end_spawn",
        spawn_sequence,
    ),
];

/// asyncio: `test_get_event_loop_policy`, `test_set_event_loop_policy`.
fn installed(bench: &PolicyBench<'_>) -> Verdict {
    let policy = bench.policy()?;
    let _installed = Installed::new(Some(policy.clone()))?;
    for _ in 0..2 {
        ensure!(host::get_event_loop_policy()?.same(&policy), "another policy is installed");
    }
    host::set_event_loop_policy(None)?;
    let default = host::get_event_loop_policy()?;
    ensure!(!default.same(&policy), "the policy is still installed after set_event_loop_policy(None)");
    ensure!(host::get_event_loop_policy()?.same(&default), "the default is made anew each time");
    Ok(Passed)
}

/// asyncio: `test_get_event_loop_returns_running_loop`.
fn running_loop_wins(bench: &PolicyBench<'_>) -> Verdict {
    let (record, base) = (Record::default(), bench.policy()?);
    let spy = SpyPolicy::around(base.clone(), &record);
    spy.has_no_loop.store(true, SeqCst);
    let _installed = Installed::new(Some(PolicyHandle::new(spy)))?;
    let get = bench.harness.loop_getter();
    refused("get_event_loop with a policy that fails", get(), ErrorCode::plugin(77))?;
    record.take();

    let event_loop = TestLoop::new(base.new_event_loop()?, bench.harness.patience())?;
    let got: Arc<Mutex<Option<Result<LoopHandle, Error>>>> = Arc::default();
    let slot = got.clone();
    event_loop.call_soon(Callback::new(move |_| {
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(get());
        Ok(())
    }))?;
    event_loop.turn()?;
    let got = got.lock().unwrap_or_else(PoisonError::into_inner).take();
    let is_running = matches!(got, Some(Ok(got)) if got.same(&event_loop));
    ensure!(is_running, "inside a running loop get_event_loop gave something else");
    record.expect([])?;
    Ok(Passed)
}

/// asyncio: `test_create_subprocess_fails_with_inactive_watcher`.
fn inactive_spawns_nothing(bench: &PolicyBench<'_>) -> Verdict {
    let policy = bench.with_watcher()?;
    let record = Record::default();
    let watcher = SpyWatcher { record: record.clone(), is_inactive: true, ..SpyWatcher::default() };
    policy.set_child_watcher(Some(WatcherHandle::new(watcher)))?;
    let _installed = Installed::new(Some(policy.clone()))?;
    let event_loop = TestLoop::new(policy.new_event_loop()?, bench.harness.patience())?;
    let before = bench.harness.system_state()?.children;
    let exits = Exits::default();
    let started =
        bench.harness.processes().subprocess_exec(&event_loop, &Program::waiting(""), exits.handler());
    refused("subprocess_exec under an inactive watcher", started.map(drop), ErrorCode::INACTIVE)?;
    equal("the children of this process", bench.harness.system_state()?.children, before)?;
    ensure!(!record.take().contains(&"add_child_handler".to_owned()), "a child was given to the watcher");
    equal("drops of the handler", exits.drops.len(), 1)?;
    policy.set_child_watcher(None)?;
    Ok(Passed)
}

/// asyncio: `with watcher`, `add_child_handler` inside it.
fn spawn_sequence(bench: &PolicyBench<'_>) -> Verdict {
    let policy = bench.with_watcher()?;
    let (record, base) = (Record::default(), bench.policy()?.get_child_watcher()?);
    let event_loop = TestLoop::new(policy.new_event_loop()?, bench.harness.patience())?;
    let watcher = SpyWatcher { record: record.clone(), base: Some(base.clone()), ..SpyWatcher::default() };
    policy.set_child_watcher(Some(WatcherHandle::new(watcher)))?;
    base.attach_loop(Some(event_loop.clone()))?;
    let _installed = Installed::new(Some(policy.clone()))?;
    let (exits, processes, inner) = (Exits::default(), bench.harness.processes(), event_loop.clone());
    let handler = exits.handler();
    event_loop.call_soon(Callback::local(move |_| {
        processes.subprocess_exec(&inner, &Program::new("exit 6"), handler).map(drop)
    }))?;
    event_loop.turn()?;
    event_loop.turns_until("the exit of a child", || !exits.is_empty())?;
    equal("its returncode", exits.only()?.returncode, 6)?;
    record.expect(["is_active", "begin_spawn", "add_child_handler", "end_spawn a child"])?;
    policy.set_child_watcher(None)?;
    Ok(Passed)
}
