//! Timers and the clock.

use std::time::Duration;

use loophost_plugin_api::{Callback, EventKind};

use super::LoopBench;
use crate::{
    Case, Verdict,
    record::{NotesDrop, Record},
    verdict::{Passed, ensure, equal},
};

const MS: u64 = 1_000_000;

pub(super) const CASES: &[Case] = &[
    Case::event_loop(
        "loop/timer-not-early",
        "no timer is called before the loop's clock has reached it",
        timer_not_early,
    ),
    Case::event_loop(
        "loop/timer-order",
        "timers are called in the order of their times, and of their making where these are equal",
        timer_order,
    ),
    Case::event_loop(
        "loop/timer-past-due",
        "a timer whose time has passed is called in the next turn",
        timer_past_due,
    ),
    Case::event_loop(
        "loop/timer-far-future",
        "a timer at the end of time is not called, can be cancelled, and hinders nobody",
        timer_far_future,
    ),
    Case::event_loop(
        "loop/timer-wakes",
        "a timer ends the sleep of a loop that waits for longer",
        timer_wakes,
    ),
    Case::event_loop(
        "loop/timer-many",
        "a thousand timers given in any order are all called, in theirs",
        timer_many,
    ),
    Case::event_loop(
        "loop/timer-cancelled",
        "a cancelled timer is dropped at once, and the others are still called",
        timer_cancelled,
    ),
    Case::event_loop("loop/clock-monotonic", "the loop's clock never goes back", clock_monotonic),
    Case::event_loop("loop/clock-shared", "all loops of the process have the same clock", clock_shared),
    Case::event_loop(
        "loop/run-once-timeout",
        "a turn with nothing to do ends when its timeout has passed",
        run_once_timeout,
    ),
];

/// asyncio: `test_call_later`, `test_call_at`.
fn timer_not_early(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    let start = event_loop.time();
    for delay in [1, 3, 7, 20] {
        let (inner, notes, due) = (event_loop.clone(), record.clone(), start + delay * MS);
        event_loop.call_at(
            due,
            Callback::new(move |event| {
                let now = inner.time();
                notes.note(match (event.kind() == EventKind::TIMER, due.checked_sub(now)) {
                    (false, _) => "an event of another kind".to_owned(),
                    (true, None | Some(0)) => "in time".to_owned(),
                    (true, Some(early)) => format!("{early} ns early"),
                });
                Ok(())
            }),
        )?;
    }
    event_loop.turns_until("four timers", || record.len() == 4)?;
    record.expect(["in time"; 4])?;
    Ok(Passed)
}

fn timer_order(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    let start = event_loop.time();
    for (delay, name) in [(20, "c"), (10, "a"), (20, "d"), (10, "b"), (30, "e")] {
        event_loop.call_at(start + delay * MS, record.callback(name))?;
    }
    event_loop.turns_until("five timers", || record.len() == 5)?;
    record.expect(["a", "b", "c", "d", "e"])?;
    Ok(Passed)
}

fn timer_past_due(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    let (inner, notes) = (event_loop.clone(), record.clone());
    event_loop.call_at(
        0,
        Callback::new(move |_| {
            notes.note("first");
            inner.call_at(0, notes.callback("second")).map(drop)
        }),
    )?;
    event_loop.turn()?;
    record.expect(["first"])?;
    event_loop.turn()?;
    record.expect(["second"])?;
    Ok(Passed)
}

fn timer_far_future(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    let never = [u64::MAX, u64::MAX - 1, i64::MAX as u64, event_loop.time() + 400 * 24 * 3600 * 1000 * MS];
    let mut ids = Vec::new();
    for when in never {
        ids.push(event_loop.call_at(when, record.callback("the end of time"))?);
    }
    event_loop.call_later(Duration::from_millis(1), record.callback("soon"))?;
    event_loop.turns_until("a timer of a millisecond", || !record.is_empty())?;
    event_loop.turn()?;
    record.expect(["soon"])?;
    for id in ids {
        ensure!(event_loop.cancel(id)?, "cancel of a timer in the far future: expected true");
    }
    Ok(Passed)
}

fn timer_wakes(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.call_later(Duration::from_millis(5), record.callback("timer"))?;
    while record.is_empty() {
        event_loop.turn_woken_by("a timer of 5 ms")?;
    }
    Ok(Passed)
}

fn timer_many(bench: &LoopBench<'_>) -> Verdict {
    const TIMERS: u64 = 1000;
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    let start = event_loop.time();
    for n in 0..TIMERS {
        // 379 has no divisor in common with 1000: every delay once.
        let (notes, delay) = (record.clone(), n * 379 % TIMERS);
        let callback = Callback::new(move |_| {
            notes.note(format!("{delay:04}"));
            Ok(())
        });
        event_loop.call_at(start + delay * 10_000, callback)?;
    }
    event_loop.turns_until("a thousand timers", || record.len() as u64 >= TIMERS)?;
    event_loop.turn()?;
    let called = record.take();
    equal("how many were called", called.len() as u64, TIMERS)?;
    let out_of_order = called.windows(2).find(|two| two[0] >= two[1]);
    equal("two timers out of order", out_of_order, None)?;
    Ok(Passed)
}

fn timer_cancelled(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    let start = event_loop.time();
    // Most of them, as asyncio sweeps a heap with more than half cancelled.
    let mut ids = Vec::new();
    for n in 0..300 {
        let dropped = NotesDrop(record.clone(), "dropped");
        let callback = Callback::new(move |_| {
            drop(dropped);
            Ok(())
        });
        ids.push(event_loop.call_at(start + (n + 1) * 3600 * 1000 * MS, callback)?);
    }
    event_loop.call_at(start + MS, record.callback("kept"))?;
    for id in ids {
        ensure!(event_loop.cancel(id)?, "cancel of a timer: expected true");
    }
    equal("callbacks dropped by cancel", record.take().len(), 300)?;
    event_loop.turns_until("the timer that was kept", || !record.is_empty())?;
    record.expect(["kept"])?;
    Ok(Passed)
}

fn clock_monotonic(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = bench.event_loop()?;
    let mut last = event_loop.time();
    ensure!(last > 0, "the clock says 0");
    for _ in 0..100_000 {
        let now = event_loop.time();
        ensure!(now >= last, "the clock went back by {} ns", last - now);
        last = now;
    }
    Ok(Passed)
}

fn clock_shared(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, other) = (bench.event_loop()?, bench.harness.new_event_loop()?);
    let (before, between, after) = (other.time(), event_loop.time(), other.time());
    other.close()?;
    ensure!(
        before <= between && between <= after,
        "another loop's clock said {before} before and {after} after, this one's {between} in between"
    );
    Ok(Passed)
}

fn run_once_timeout(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = bench.event_loop()?;
    // It may end early for a reason of its own, so all that is asked for is that it ends.
    event_loop.run_once(Some(Duration::from_millis(10)))?;
    event_loop.turn()?;
    Ok(Passed)
}
