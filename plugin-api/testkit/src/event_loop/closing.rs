//! The end of a loop.

use std::time::Duration;

use loophost_plugin_api::{Callback, Capabilities, ErrorCode, Interest, OpCode, RepeatCallback};

use super::{LoopBench, fd, pair};
use crate::{
    Case, Verdict,
    record::{NotesDrop, OnDrop, Record},
    signal_number::SIGURG,
    verdict::{Passed, ensure, equal, failed, refused},
};

pub(super) const CASES: &[Case] = &[
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
];

fn close_running_refused(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    let (inner, notes) = (event_loop.clone(), record.clone());
    event_loop.call_soon(Callback::new(move |_| {
        notes.refusal("close", inner.close());
        inner.call_soon(notes.callback("alive")).map(drop)
    }))?;
    event_loop.turn()?;
    event_loop.turn()?;
    record.expect(["close LOOP_RUNNING", "alive"])?;
    ensure!(!event_loop.is_closed(), "is_closed: expected false");
    Ok(Passed)
}

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
    let pending = event_loop.call_soon(Callback::new(|_| Ok(())))?;
    // Of a loop without streams any id will do.
    let stream = event_loop.watch_io(me, Interest::READ, RepeatCallback::new(|_| Ok(()))).unwrap_or(pending);
    event_loop.close()?;
    let (soon, repeat) = (|| Callback::new(|_| Ok(())), || RepeatCallback::new(|_| Ok(())));
    for (method, result) in [
        ("call_soon", event_loop.call_soon(soon()).map(drop)),
        ("call_soon_threadsafe", event_loop.call_soon_threadsafe(soon()).map(drop)),
        ("call_at", event_loop.call_at(0, soon()).map(drop)),
        ("cancel", event_loop.cancel(pending).map(drop)),
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
        ("remove_writer", event_loop.remove_writer(me).map(drop)),
        ("watch_io", event_loop.watch_io(me, Interest::READ, repeat()).map(drop)),
        ("rearm_io", event_loop.rearm_io(stream, Interest::READ)),
        ("unwatch_io", event_loop.unwatch_io(stream).map(drop)),
        ("add_signal_handler", event_loop.add_signal_handler(SIGURG, repeat())),
        ("remove_signal_handler", event_loop.remove_signal_handler(SIGURG).map(drop)),
        ("poll_handle", event_loop.poll_handle().map(drop)),
        ("next_deadline", event_loop.next_deadline().map(drop)),
        ("cancel_op", event_loop.cancel_op(pending).map(drop)),
        ("set_debug", event_loop.set_debug(true)),
        ("call_exception_handler", event_loop.call_exception_handler("in vain", None, Vec::new())),
    ] {
        if !matches!(&result, Err(error) if error.code() == ErrorCode::NOT_SUPPORTED) {
            refused(&format!("{method} of a closed loop"), result, ErrorCode::LOOP_CLOSED)?;
        }
    }
    ensure!(event_loop.time() > 0, "time of a closed loop: expected the time, got 0");
    equal("capabilities of a closed loop", event_loop.capabilities(), 0)?;
    ensure!(!event_loop.supports(OpCode::NOP), "supports of a closed loop: expected false");
    let extension = event_loop.extension("loophost.no-such-extension/1");
    ensure!(extension.is_null(), "extension of a closed loop: expected none");
    Ok(Passed)
}

fn close_drops_callbacks(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    let held = || {
        let (inner, notes) = (event_loop.clone(), record.clone());
        OnDrop(move || notes.refusal("call_soon in a drop:", inner.call_soon(Callback::new(|_| Ok(())))))
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
    let dropped = NotesDrop(record.clone(), "dropped");
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
