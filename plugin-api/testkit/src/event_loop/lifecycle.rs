//! Running, stopping, closing, and what a loop says of itself.

use std::time::Duration;

use loophost_plugin_api::{
    Callback, Capabilities, ErrorCode, Interest, LoopHandle, Op, OpCode, RepeatCallback, host,
};

use super::{LoopBench, fd, pair};
use crate::{
    Case, Verdict,
    record::{OnDrop, Record},
    signal_number::SIGURG,
    verdict::{Code, Passed, ensure, equal, failed, refused},
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
    Case::event_loop("loop/close-running-refused", "a running loop is not closed", close_running_refused),
    Case::event_loop("loop/close-twice", "closing twice is fine", close_twice),
    Case::event_loop(
        "loop/closed-refuses",
        "a closed loop answers everything with LOOP_CLOSED",
        closed_refuses,
    ),
    Case::event_loop(
        "loop/close-drops-callbacks",
        "close drops what is pending, also when the drops use the loop, and calls nothing",
        close_drops_callbacks,
    ),
    Case::event_loop(
        "loop/drop-is-close",
        "a loop that is dropped without close drops its callbacks too",
        drop_is_close,
    ),
    Case::event_loop(
        "loop/close-leaks-nothing",
        "a hundred loops, used, closed and dropped, leave no descriptor and no thread",
        close_leaks_nothing,
    ),
    Case::event_loop(
        "loop/capabilities-are-honest",
        "what the capabilities name works, and what they do not name is NOT_SUPPORTED",
        capabilities_are_honest,
    ),
    Case::event_loop(
        "loop/unknown-is-refused",
        "unknown operations, figures and extensions are refused",
        unknown_is_refused,
    ),
    Case::event_loop("loop/has-name", "the loop has a name", has_name),
    Case::event_loop("loop/debug-mode", "in debug mode the loop does the same", debug_mode),
];

/// asyncio: `test_run_until_complete_stopped`, `stop` before `run_forever`.
fn stop_before_run(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.call_soon(record.callback("once"))?;
    event_loop.stop()?;
    event_loop.run("the stop before the run")?;
    record.expect(["once"])?;
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

/// asyncio: "This event loop is already running".
fn run_in_run_refused(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    let (inner, notes) = (event_loop.clone(), record.clone());
    event_loop.call_soon(Callback::new(move |_| {
        note_refusal(&notes, "run_forever", inner.run_forever());
        note_refusal(&notes, "run_once", inner.run_once(Some(Duration::ZERO)));
        notes.note(format!("is_running {}", inner.is_running()));
        Ok(())
    }))?;
    event_loop.turn()?;
    record.expect(["run_forever LOOP_RUNNING", "run_once LOOP_RUNNING", "is_running true"])?;
    Ok(Passed)
}

fn note_refusal<T>(record: &Record, what: &str, result: Result<T, loophost_plugin_api::Error>) {
    record.note(match result {
        Ok(_) => format!("{what} worked"),
        Err(error) => format!("{what} {}", Code(error.code())),
    });
}

/// asyncio: "Cannot run the event loop while another loop is running", `test_get_event_loop_returns_running_loop`.
fn one_loop_per_thread(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    let (second, third) = (bench.harness.new_event_loop()?, bench.bare_loop()?);
    let (inner, notes, others) = (event_loop.clone(), record.clone(), [second.clone(), third.clone()]);
    event_loop.call_soon(Callback::new(move |_| {
        for other in &others {
            note_refusal(&notes, "another loop", other.run_once(Some(Duration::ZERO)));
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

/// asyncio: `test_close_running_event_loop`.
fn close_running_refused(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    let (inner, notes) = (event_loop.clone(), record.clone());
    event_loop.call_soon(Callback::new(move |_| {
        note_refusal(&notes, "close", inner.close());
        inner.call_soon(notes.callback("alive")).map(drop)
    }))?;
    event_loop.turn()?;
    event_loop.turn()?;
    record.expect(["close LOOP_RUNNING", "alive"])?;
    ensure!(!event_loop.is_closed(), "is_closed: expected false");
    Ok(Passed)
}

/// asyncio: `test_close`.
fn close_twice(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = bench.event_loop()?;
    ensure!(!event_loop.is_closed(), "is_closed of a fresh loop: expected false");
    event_loop.turn()?;
    event_loop.close()?;
    ensure!(event_loop.is_closed(), "is_closed after close: expected true");
    event_loop.close()?;
    ensure!(event_loop.is_closed(), "is_closed after the second close: expected true");
    Ok(Passed)
}

fn closed_refuses(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = bench.event_loop()?;
    let (near, _far) = pair()?;
    let me = fd(&near);
    event_loop.close()?;
    let (soon, repeat) = (|| Callback::new(|_| Ok(())), || RepeatCallback::new(|_| Ok(())));
    for (method, result) in [
        ("call_soon", event_loop.call_soon(soon()).map(drop)),
        ("call_soon_threadsafe", event_loop.call_soon_threadsafe(soon()).map(drop)),
        ("call_at", event_loop.call_at(0, soon()).map(drop)),
        ("run_forever", event_loop.run_forever()),
        ("run_once", event_loop.run_once(Some(Duration::ZERO))),
        ("stop", event_loop.stop()),
        ("set_exception_handler", event_loop.set_exception_handler(None)),
    ] {
        refused(&format!("{method} of a closed loop"), result, ErrorCode::LOOP_CLOSED)?;
    }
    for (method, result) in [
        ("add_reader", event_loop.add_reader(me, repeat())),
        ("remove_reader", event_loop.remove_reader(me).map(drop)),
        ("add_writer", event_loop.add_writer(me, repeat())),
        ("watch_io", event_loop.watch_io(me, Interest::READ, repeat()).map(drop)),
        ("add_signal_handler", event_loop.add_signal_handler(SIGURG, repeat())),
    ] {
        if !matches!(&result, Err(error) if error.code() == ErrorCode::NOT_SUPPORTED) {
            refused(&format!("{method} of a closed loop"), result, ErrorCode::LOOP_CLOSED)?;
        }
    }
    ensure!(event_loop.time() > 0, "time of a closed loop: expected the time, got 0");
    Ok(Passed)
}

fn close_drops_callbacks(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    let held = || {
        let (inner, notes) = (event_loop.clone(), record.clone());
        OnDrop(move || {
            note_refusal(&notes, "call_soon in a drop:", inner.call_soon(Callback::new(|_| Ok(()))))
        })
    };
    let once = || {
        let (held, notes) = (held(), record.clone());
        Callback::new(move |_| {
            let _until_here = &held;
            notes.note("called");
            Ok(())
        })
    };
    event_loop.call_soon(once())?;
    event_loop.call_soon_threadsafe(once())?;
    event_loop.call_at(u64::MAX, once())?;
    let (near, _far) = pair()?;
    let mut expected = 3;
    if event_loop.capabilities() & Capabilities::READINESS != 0 {
        let held = held();
        event_loop.add_reader(
            fd(&near),
            RepeatCallback::new(move |_| {
                let _until_here = &held;
                Ok(())
            }),
        )?;
        expected += 1;
    }
    event_loop.close()?;
    equal("the drops", record.take(), vec!["call_soon in a drop: LOOP_CLOSED"; expected])?;
    Ok(Passed)
}

fn drop_is_close(bench: &LoopBench<'_>) -> Verdict {
    let record = Record::default();
    let event_loop = bench.bare_loop()?;
    let dropped = crate::record::NotesDrop(record.clone(), "dropped");
    event_loop.call_at(
        u64::MAX,
        Callback::new(move |_| {
            drop(dropped);
            Ok(())
        }),
    )?;
    drop(event_loop);
    record.expect(["dropped"])?;
    Ok(Passed)
}

fn close_leaks_nothing(bench: &LoopBench<'_>) -> Verdict {
    const LOOPS: usize = 100;
    let one = || -> Verdict<()> {
        let event_loop = bench.event_loop()?;
        let (near, _far) = pair()?;
        if event_loop.capabilities() & Capabilities::READINESS != 0 {
            event_loop.add_reader(fd(&near), RepeatCallback::new(|_| Ok(())))?;
        }
        if event_loop.capabilities() & Capabilities::SIGNALS != 0 {
            event_loop.add_signal_handler(SIGURG, RepeatCallback::new(|_| Ok(())))?;
        }
        event_loop.call_soon_threadsafe(Callback::new(|_| Ok(())))?;
        event_loop.call_at(u64::MAX, Callback::new(|_| Ok(())))?;
        event_loop.turn()?;
        event_loop.close()?;
        Ok(())
    };
    // The first one may leave what a process needs once, such as the thread that reads signals.
    one()?;
    let before = bench.harness.system_state()?;
    for _ in 0..LOOPS {
        one()?;
    }
    let after = bench.harness.system_state()?;
    after.same_descriptors(&before).map_err(|_| {
        let (after, before) = (after.descriptors.len(), before.descriptors.len());
        failed(format!("{after} descriptors are open after {LOOPS} loops, {before} were before"))
    })?;
    equal("the threads", after.threads.len(), before.threads.len())?;
    Ok(Passed)
}

fn capabilities_are_honest(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = bench.event_loop()?;
    let capabilities = event_loop.capabilities();
    let (near, _far) = pair()?;
    let repeat = || RepeatCallback::new(|_| Ok(()));
    let op = Op::new(OpCode(0), -1);
    let claims = [
        ("READINESS", Capabilities::READINESS, event_loop.add_reader(fd(&near), repeat())),
        ("SIGNALS", Capabilities::SIGNALS, event_loop.add_signal_handler(SIGURG, repeat())),
        ("EMBEDDABLE", Capabilities::EMBEDDABLE, event_loop.poll_handle().map(drop)),
    ];
    for (name, bit, result) in claims {
        match (capabilities & bit != 0, result) {
            (true, Ok(())) => {}
            (true, Err(error)) => return Err(failed(format!("{name} is named, and does not work: {error}"))),
            (false, result) => {
                refused(&format!("{name}, which is not named"), result, ErrorCode::NOT_SUPPORTED)?
            }
        }
    }
    if capabilities & Capabilities::COMPLETION == 0 {
        ensure!(!event_loop.supports(op.code), "COMPLETION is not named, and an operation is supported");
    }
    Ok(Passed)
}

fn unknown_is_refused(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = bench.event_loop()?;
    ensure!(!event_loop.supports(OpCode(u32::MAX)), "it supports an operation that there is not");
    let nothing = event_loop.extension("loophost.no-such-extension/1");
    ensure!(nothing.is_null(), "it has a table for an extension that there is not");
    let unknown = event_loop.stat(loophost_plugin_api::Stat(u32::MAX));
    equal("a figure that there is not", unknown, None)?;
    Ok(Passed)
}

fn has_name(bench: &LoopBench<'_>) -> Verdict {
    let name = bench.event_loop()?.name();
    ensure!(!name.is_empty() && name != "?", "the name is {name:?}");
    Ok(Passed)
}

fn debug_mode(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.set_debug(true)?;
    event_loop.call_soon(record.callback("first"))?;
    event_loop.call_soon_threadsafe(record.callback("second"))?;
    event_loop.call_at(0, record.callback("third"))?;
    event_loop.turn()?;
    record.expect(["first", "second", "third"])?;
    event_loop.set_debug(false)?;
    Ok(Passed)
}
