//! Running and stopping.

use std::time::Duration;

use loophost_plugin_api::{Callback, LoopHandle, Stat, host};

use super::LoopBench;
use crate::{
    Case, Verdict,
    record::Record,
    verdict::{Passed, ensure},
};

pub(super) const CASES: &[Case] = &[
    Case::event_loop("loop/stop-before-run", "stop before a run lets one turn pass", stop_before_run),
    Case::event_loop(
        "loop/stop-finishes-turn",
        "stop lets the callbacks of its turn run to the last",
        stop_finishes_turn,
    ),
    Case::event_loop("loop/run-again", "a loop that was stopped can be run again", run_again),
    Case::event_loop(
        "loop/turn-ends",
        "a callback that calls itself again for ever lets turns end, and others have theirs",
        turn_ends,
    ),
    Case::event_loop("loop/sleeps", "a loop with nothing to do makes no turns until its next timer", sleeps),
    Case::event_loop(
        "loop/keeps-signals",
        "a loop that is made, used and closed leaves the mask and the dispositions of signals alone",
        keeps_signals,
    ),
    Case::event_loop(
        "loop/run-in-run-refused",
        "a running loop is not run again from inside",
        run_in_run_refused,
    ),
    Case::event_loop(
        "loop/one-loop-per-thread",
        "while a loop runs, no other one runs in its thread; the running loop is known",
        one_loop_per_thread,
    ),
];

fn stop_before_run(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.call_soon(record.callback("once"))?;
    event_loop.stop()?;
    event_loop.run("the stop before the run")?;
    record.expect(["once"])?;
    // With nothing to do the loop looks for a stop before it sleeps, or sleeps for ever.
    event_loop.stop()?;
    event_loop.run("the stop before a run with nothing to do")?;
    Ok(Passed)
}

fn stop_finishes_turn(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.call_soon(event_loop.stopper())?;
    let (inner, notes) = (event_loop.clone(), record.clone());
    event_loop.call_soon(Callback::new(move |_| {
        notes.note("same turn");
        inner.call_soon(notes.callback("next turn")).map(drop)
    }))?;
    event_loop.run("stop")?;
    record.expect(["same turn"])?;
    event_loop.turn()?;
    record.expect(["next turn"])?;
    Ok(Passed)
}

fn run_again(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    for _ in 0..3 {
        event_loop.call_soon(record.callback("ran"))?;
        event_loop.call_soon(event_loop.stopper())?;
        ensure!(!event_loop.is_running(), "is_running before a run: expected false");
        event_loop.run("stop")?;
        ensure!(!event_loop.is_running(), "is_running after a run: expected false");
    }
    record.expect(["ran"; 3])?;
    Ok(Passed)
}

fn turn_ends(bench: &LoopBench<'_>) -> Verdict {
    fn again(event_loop: LoopHandle, record: Record) -> Callback {
        Callback::new(move |_| {
            record.note("again");
            event_loop.call_soon(again(event_loop.clone(), record.clone())).map(drop)
        })
    }
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.call_soon(again(event_loop.clone(), record.clone()))?;
    event_loop.turn()?;
    event_loop.call_soon_threadsafe(record.callback("other"))?;
    event_loop.call_at(0, record.callback("timer"))?;
    event_loop.turn()?;
    record.expect(["again", "again", "other", "timer"])?;
    Ok(Passed)
}

fn sleeps(bench: &LoopBench<'_>) -> Verdict {
    /// A turn may end a little early, as where the kernel counts in milliseconds.
    const TURNS: u64 = 20;
    let event_loop = bench.event_loop()?;
    let before = event_loop.requires_stat(Stat::TURNS, "TURNS")?;
    event_loop.call_later(Duration::from_millis(50), event_loop.stopper())?;
    event_loop.run("a timer of 50 ms")?;
    let turns = event_loop.requires_stat(Stat::TURNS, "TURNS")? - before;
    ensure!(turns <= TURNS, "{turns} turns until a timer of 50 ms: expected at most {TURNS}");
    Ok(Passed)
}

fn keeps_signals(bench: &LoopBench<'_>) -> Verdict {
    let before = bench.harness.system_state()?;
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.call_soon(record.callback("soon"))?;
    event_loop.call_soon_threadsafe(record.callback("threadsafe"))?;
    event_loop.call_at(0, record.callback("timer"))?;
    event_loop.turn()?;
    bench.harness.system_state()?.same_signals(&before)?;
    event_loop.close()?;
    bench.harness.system_state()?.same_signals(&before)?;
    Ok(Passed)
}

fn run_in_run_refused(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    let (inner, notes) = (event_loop.clone(), record.clone());
    event_loop.call_soon(Callback::new(move |_| {
        notes.refusal("run_forever", inner.run_forever());
        notes.refusal("run_once", inner.run_once(Some(Duration::ZERO)));
        notes.note(format!("is_running {}", inner.is_running()));
        Ok(())
    }))?;
    event_loop.turn()?;
    record.expect(["run_forever LOOP_RUNNING", "run_once LOOP_RUNNING", "is_running true"])?;
    Ok(Passed)
}

fn one_loop_per_thread(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    let (second, third) = (bench.harness.new_event_loop()?, bench.bare_loop()?);
    let (inner, notes, others) = (event_loop.clone(), record.clone(), [second.clone(), third.clone()]);
    event_loop.call_soon(Callback::new(move |_| {
        for other in &others {
            notes.refusal("another loop", other.run_once(Some(Duration::ZERO)));
            notes.note(format!("is running: {}", other.is_running()));
        }
        let current = host::current_loop().is_some_and(|current| current.same(&inner));
        notes.note(format!("the running loop is this one: {current}"));
        Ok(())
    }))?;
    event_loop.turn()?;
    record.expect([
        "another loop LOOP_RUNNING",
        "is running: false",
        "another loop LOOP_RUNNING",
        "is running: false",
        "the running loop is this one: true",
    ])?;
    ensure!(host::current_loop().is_none(), "after the run there is still a running loop");
    second.run_once(Some(Duration::ZERO))?;
    second.close()?;
    third.close()?;
    Ok(Passed)
}
