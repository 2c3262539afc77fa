//! The loop of a context: made, set, got.

use loophost_plugin_api::{ErrorCode, PolicyHandle};

use super::{PolicyBench, in_thread};
use crate::{
    Case, Verdict,
    record::Record,
    spy::SpyPolicy,
    verdict::{Passed, ensure, refused, skipped},
};

pub(super) const CASES: &[Case] = &[
    Case::policy(
        "policy/new-event-loop",
        "new_event_loop makes a new loop each time, and none of them current",
        new_event_loop,
    ),
    Case::policy(
        "policy/set-and-get",
        "get_event_loop gives what set_event_loop was given last",
        set_and_get,
    ),
    Case::policy(
        "policy/creates-in-main-thread",
        "in the main thread the first get_event_loop makes a loop, and later ones give the same",
        creates_in_main_thread,
    ),
    Case::policy(
        "policy/creates-through-overrides",
        "a loop is made through new_event_loop and set_event_loop of the outermost policy",
        creates_through_overrides,
    ),
    Case::policy(
        "policy/after-set-none",
        "after set_event_loop(None) there is no loop: NO_CURRENT_LOOP",
        after_set_none,
    ),
    Case::policy(
        "policy/none-in-other-thread",
        "in a fresh thread there is no loop, and the error names the thread",
        none_in_other_thread,
    ),
    Case::policy("policy/loop-per-thread", "each thread has the loop that was set in it", loop_per_thread),
    Case::policy("policy/no-method-panics", "with a base or without, no method panics", no_method_panics),
];

/// asyncio: `test_new_event_loop`.
fn new_event_loop(bench: &PolicyBench<'_>) -> Verdict {
    let policy = bench.policy()?;
    let (first, second) = (policy.new_event_loop()?, policy.new_event_loop()?);
    ensure!(!first.same(&second), "new_event_loop gave the same loop twice");
    ensure!(!first.is_running() && !first.is_closed(), "a new loop is running or closed: {first:?}");
    let current = policy.get_event_loop();
    let is_current = current.as_ref().is_ok_and(|current| current.same(&first) || current.same(&second));
    ensure!(!is_current, "new_event_loop has made its loop current");
    if let Ok(current) = current {
        current.close()?;
    }
    policy.set_event_loop(None)?;
    first.close()?;
    second.close()?;
    Ok(Passed)
}

/// asyncio: `test_set_event_loop`.
fn set_and_get(bench: &PolicyBench<'_>) -> Verdict {
    let policy = bench.policy()?;
    let (first, second) = (policy.new_event_loop()?, policy.new_event_loop()?);
    for event_loop in [&first, &second, &first] {
        policy.set_event_loop(Some(event_loop.clone()))?;
        ensure!(policy.get_event_loop()?.same(event_loop), "get_event_loop gave another loop than was set");
    }
    policy.set_event_loop(None)?;
    ensure!(!first.is_closed(), "set_event_loop has closed a loop");
    first.close()?;
    second.close()?;
    Ok(Passed)
}

/// asyncio: `test_get_event_loop`.
fn creates_in_main_thread(bench: &PolicyBench<'_>) -> Verdict {
    bench.requires_main_thread()?;
    let policy = bench.policy()?;
    let first = match policy.get_event_loop() {
        Err(error) if error.code() == ErrorCode::NO_CURRENT_LOOP => {
            return Err(skipped("the policy makes no loop by itself"));
        }
        other => other?,
    };
    ensure!(policy.get_event_loop()?.same(&first), "the second get_event_loop gave another loop");
    ensure!(!first.is_closed(), "the loop is closed");
    policy.set_event_loop(None)?;
    first.close()?;
    Ok(Passed)
}

/// asyncio: `test_get_event_loop_calls_set_event_loop`.
fn creates_through_overrides(bench: &PolicyBench<'_>) -> Verdict {
    bench.requires_main_thread()?;
    let record = Record::default();
    let policy = PolicyHandle::new(SpyPolicy::around(bench.policy()?, &record));
    let event_loop = match policy.get_event_loop() {
        Err(error) if error.code() == ErrorCode::NO_CURRENT_LOOP => {
            return Err(skipped("the policy makes no loop by itself"));
        }
        other => other?,
    };
    record.expect(["get_event_loop", "new_event_loop", "set_event_loop"])?;
    policy.set_event_loop(None)?;
    event_loop.close()?;
    Ok(Passed)
}

/// asyncio: `test_get_event_loop_after_set_none`.
fn after_set_none(bench: &PolicyBench<'_>) -> Verdict {
    let policy = bench.policy()?;
    policy.set_event_loop(None)?;
    refused(
        "get_event_loop after set_event_loop(None)",
        policy.get_event_loop(),
        ErrorCode::NO_CURRENT_LOOP,
    )?;
    let event_loop = policy.new_event_loop()?;
    policy.set_event_loop(Some(event_loop.clone()))?;
    ensure!(policy.get_event_loop()?.same(&event_loop), "get_event_loop gave another loop than was set");
    policy.set_event_loop(None)?;
    refused("get_event_loop after a loop was cleared", policy.get_event_loop(), ErrorCode::NO_CURRENT_LOOP)?;
    event_loop.close()?;
    Ok(Passed)
}

/// asyncio: `test_get_event_loop_thread`.
fn none_in_other_thread(bench: &PolicyBench<'_>) -> Verdict {
    bench.requires_thread_context()?;
    let policy = bench.policy()?;
    let got = in_thread(move || Ok(policy.get_event_loop().map(drop)))?;
    refused("get_event_loop in a fresh thread", got.clone(), ErrorCode::NO_CURRENT_LOOP)?;
    let message = got.err().map(|error| error.message().to_owned()).unwrap_or_default();
    ensure!(message.to_lowercase().contains("thread"), "the error does not name the thread: {message}");
    Ok(Passed)
}

fn loop_per_thread(bench: &PolicyBench<'_>) -> Verdict {
    bench.requires_thread_context()?;
    let policy = bench.policy()?;
    let here = policy.new_event_loop()?;
    policy.set_event_loop(Some(here.clone()))?;
    let there = policy.clone();
    let is_own = in_thread(move || {
        let own = there.new_event_loop()?;
        there.set_event_loop(Some(own.clone()))?;
        let is_own = there.get_event_loop()?.same(&own);
        there.set_event_loop(None)?;
        own.close()?;
        Ok(is_own)
    })?;
    ensure!(is_own, "another thread got another loop than it has set");
    ensure!(policy.get_event_loop()?.same(&here), "another thread has changed the loop of this one");
    policy.set_event_loop(None)?;
    here.close()?;
    Ok(Passed)
}

fn no_method_panics(bench: &PolicyBench<'_>) -> Verdict {
    let policy = bench.policy()?;
    let event_loop = policy.new_event_loop()?;
    let results = [
        ("set_event_loop", policy.set_event_loop(Some(event_loop.clone()))),
        ("get_event_loop", policy.get_event_loop().map(drop)),
        ("set_event_loop(None)", policy.set_event_loop(None)),
        ("get_event_loop without one", policy.get_event_loop().map(drop)),
        ("get_child_watcher", policy.get_child_watcher().map(drop)),
        ("set_child_watcher(None)", policy.set_child_watcher(None)),
    ];
    for (method, result) in results {
        let panicked = result.err().filter(|error| error.code() == ErrorCode::PANICKED);
        ensure!(panicked.is_none(), "{method}: {panicked:?}");
    }
    let nothing = policy.extension("loophost.no-such-extension/1");
    ensure!(nothing.is_null(), "it has a table for an extension that there is not");
    event_loop.close()?;
    Ok(Passed)
}
