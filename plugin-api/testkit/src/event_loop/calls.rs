//! Callbacks: their order, that each is called once, and what becomes of errors.

use std::{
    cell::RefCell,
    collections::HashSet,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use loophost_plugin_api::{
    Callback, Capabilities, Error, ErrorCode, EventKind, HandleId, Interest, OpCode, RepeatCallback, host,
};

use super::{LoopBench, completion::submit_nop, fd, pair};
use crate::{
    Case, Verdict,
    record::{NotesDrop, Record},
    signal_number::SIGURG,
    verdict::{Passed, ensure, equal},
};

pub(super) const CASES: &[Case] = &[
    Case::event_loop(
        "loop/call-soon-order",
        "callbacks run in the order in which they were given, new ones in the next turn",
        call_soon_order,
    ),
    Case::event_loop(
        "loop/call-order-mixed",
        "call_soon and call_soon_threadsafe share one order; timers come after both",
        call_order_mixed,
    ),
    Case::event_loop(
        "loop/callback-once",
        "each of a thousand callbacks is called exactly once",
        callback_once,
    ),
    Case::event_loop(
        "loop/callback-dropped",
        "a callback is dropped when it has been called, in its turn and not later",
        callback_dropped,
    ),
    Case::event_loop(
        "loop/cancel",
        "what is cancelled is dropped and not called; a second cancel is false",
        cancel,
    ),
    Case::event_loop("loop/ids", "no id is 0, and none is given twice", ids),
    Case::event_loop(
        "loop/cancel-in-turn",
        "a callback may cancel one that is due in the same turn",
        cancel_in_turn,
    ),
    Case::event_loop(
        "loop/callback-error",
        "an error in a callback goes to the exception handler with its context, and the loop goes on",
        callback_error,
    ),
    Case::event_loop(
        "loop/callback-panic",
        "a panic in a callback stays inside and goes to the exception handler",
        callback_panic,
    ),
    Case::event_loop(
        "loop/exception-handler-fails",
        "an exception handler that fails does not end the loop, nor does the lack of one",
        exception_handler_fails,
    ),
    Case::event_loop(
        "loop/local-callback",
        "data that must stay in its thread may be in a callback",
        local_callback,
    ),
];

/// asyncio: `test_call_soon`, and the order that its documentation promises.
fn call_soon_order(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    let (inner, notes) = (event_loop.clone(), record.clone());
    event_loop.call_soon(Callback::new(move |event| {
        notes.note(if event.kind() == EventKind::SOON { "first" } else { "an event of another kind" });
        inner.call_soon(notes.callback("third")).map(drop)
    }))?;
    event_loop.call_soon(record.callback("second"))?;
    event_loop.turn()?;
    record.expect(["first", "second"])?;
    event_loop.turn()?;
    record.expect(["third"])?;
    Ok(Passed)
}

fn call_order_mixed(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.call_at(0, record.callback("timer"))?;
    event_loop.call_soon(record.callback("1"))?;
    event_loop.call_soon_threadsafe(record.callback("2"))?;
    thread::scope(|scope| {
        let other = scope.spawn(|| event_loop.call_soon_threadsafe(record.callback("3")).map(drop));
        other.join().unwrap_or_else(|_| Err(Error::new(ErrorCode::PANICKED, "the other thread panicked")))
    })?;
    event_loop.call_soon(record.callback("4"))?;
    event_loop.call_soon_threadsafe(record.callback("5"))?;
    event_loop.turn()?;
    record.expect(["1", "2", "3", "4", "5", "timer"])?;
    Ok(Passed)
}

fn callback_once(bench: &LoopBench<'_>) -> Verdict {
    const CALLS: usize = 1000;
    let event_loop = bench.event_loop()?;
    let counts = Arc::new(Mutex::new([0_u32; CALLS]));
    for n in 0..CALLS {
        let counts = counts.clone();
        let callback = Callback::new(move |_| {
            counts.lock().unwrap_or_else(PoisonError::into_inner)[n] += 1;
            Ok(())
        });
        match n % 3 {
            0 => event_loop.call_soon(callback)?,
            1 => event_loop.call_soon_threadsafe(callback)?,
            _ => event_loop.call_at(0, callback)?,
        };
    }
    event_loop.turn()?;
    event_loop.turn()?;
    let counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    let of = |count| counts.iter().filter(|calls| **calls == count).count();
    ensure!(of(0) == 0, "{} of {CALLS} callbacks were never called", of(0));
    ensure!(of(1) == CALLS, "{} of {CALLS} callbacks were called more than once", CALLS - of(1));
    Ok(Passed)
}

fn callback_dropped(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    for name in ["first", "second"] {
        let (notes, dropped) = (record.clone(), NotesDrop(record.clone(), "dropped"));
        event_loop.call_soon(Callback::new(move |_| {
            let _until_here = &dropped;
            notes.note(name);
            Ok(())
        }))?;
    }
    event_loop.turn()?;
    let got = record.take();
    let order: Vec<_> = got.iter().filter(|note| *note != "dropped").collect();
    equal("the calls", order, ["first", "second"])?;
    equal("the drops", got.len() - 2, 2)?;
    Ok(Passed)
}

/// asyncio: `test_handle`, `Handle.cancel`.
fn cancel(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    let dropped = NotesDrop(record.clone(), "dropped");
    let notes = record.clone();
    let soon = event_loop.call_soon(Callback::new(move |_| {
        let _until_here = &dropped;
        notes.note("soon");
        Ok(())
    }))?;
    let threadsafe = event_loop.call_soon_threadsafe(record.callback("threadsafe"))?;
    let timer = event_loop.call_at(0, record.callback("timer"))?;
    let kept = event_loop.call_soon(record.callback("kept"))?;
    for (what, id) in [("call_soon", soon), ("call_soon_threadsafe", threadsafe), ("call_at", timer)] {
        ensure!(event_loop.cancel(id)?, "cancel of {what}: expected true before it has run");
        ensure!(!event_loop.cancel(id)?, "cancel of {what}: expected false the second time");
    }
    event_loop.turn()?;
    event_loop.turn()?;
    record.expect(["dropped", "kept"])?;
    ensure!(!event_loop.cancel(kept)?, "cancel of what has run: expected false");
    for unknown in [HandleId(u64::MAX), HandleId(0)] {
        ensure!(!event_loop.cancel(unknown)?, "cancel of an id that never was: expected false");
    }
    Ok(Passed)
}

fn ids(bench: &LoopBench<'_>) -> Verdict {
    const ROUNDS: usize = 3;
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    let capabilities = event_loop.capabilities();
    let (near, _far) = pair()?;
    let (mut given, mut of_host) = (HashSet::new(), HashSet::new());
    let mut check = |what: &str, id: HandleId| -> Verdict<HandleId> {
        ensure!(id != HandleId(0), "{what}: the id is 0, which stands for none");
        ensure!(given.insert(id), "{what}: the id {} was given before", id.0);
        Ok(id)
    };
    for _ in 0..ROUNDS {
        check("call_soon", event_loop.call_soon(record.callback("called"))?)?;
        check("call_soon_threadsafe", event_loop.call_soon_threadsafe(record.callback("called"))?)?;
        check("call_at", event_loop.call_at(0, record.callback("called"))?)?;
        // What is cancelled leaves its place to the next.
        let cancelled = check("call_at", event_loop.call_at(u64::MAX, record.callback("called"))?)?;
        ensure!(event_loop.cancel(cancelled)?, "cancel: expected true");
        if capabilities & Capabilities::READINESS != 0 {
            let watched = event_loop.watch_io(fd(&near), Interest::READ, record.repeat("called"))?;
            ensure!(event_loop.unwatch_io(check("watch_io", watched)?)?, "unwatch_io: expected true");
        }
        if event_loop.supports(OpCode::NOP) {
            check("submit", submit_nop(&event_loop)?)?;
        }
        let subscription = host::signal_subscribe(SIGURG, record.repeat("called"))?;
        ensure!(subscription != HandleId(0), "signal_subscribe: the id is 0, which stands for none");
        ensure!(of_host.insert(subscription), "signal_subscribe: the id was given before");
        ensure!(host::signal_unsubscribe(subscription)?, "signal_unsubscribe: expected true");
        event_loop.turn()?;
    }
    Ok(Passed)
}

fn cancel_in_turn(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    let ids = Arc::new(Mutex::new(Vec::new()));
    let (inner, doomed, notes) = (event_loop.clone(), ids.clone(), record.clone());
    event_loop.call_soon(Callback::new(move |_| {
        let doomed = std::mem::take(&mut *doomed.lock().unwrap_or_else(PoisonError::into_inner));
        for (name, id) in doomed {
            if !inner.cancel(id)? {
                notes.note(format!("cancel of {name} was false"));
            }
        }
        Ok(())
    }))?;
    let due = [
        ("call_soon", event_loop.call_soon(record.callback("call_soon"))?),
        ("call_soon_threadsafe", event_loop.call_soon_threadsafe(record.callback("call_soon_threadsafe"))?),
        ("call_at", event_loop.call_at(0, record.callback("call_at"))?),
    ];
    ids.lock().unwrap_or_else(PoisonError::into_inner).extend(due);
    event_loop.turn()?;
    event_loop.turn()?;
    record.expect([])?;
    Ok(Passed)
}

/// An exception handler that notes the error and what the context says of the callback.
fn noting(record: &Record) -> RepeatCallback {
    let notes = record.clone();
    RepeatCallback::new(move |event| {
        let Some(context) = event.exception() else {
            notes.note("no context");
            return Ok(());
        };
        let error = context.error.map(|error| (error.code() == ErrorCode::PANICKED, error.message()));
        notes.note(match error {
            None => "no error".to_owned(),
            Some((true, text)) => format!("panic {}", text.rsplit(": ").next().unwrap_or_default()),
            Some((false, text)) => text.to_owned(),
        });
        if !context.details.iter().any(|detail| detail.key() == "callback") {
            notes.note("no detail `callback`");
        }
        Ok(())
    })
}

/// asyncio: `test_exc_handler_*` of test_base_events.
fn callback_error(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.set_exception_handler(Some(noting(&record)))?;
    let fails = || Callback::new(|_| Err(Error::new(ErrorCode::OTHER, "failed")));
    event_loop.call_soon(fails())?;
    event_loop.call_soon(record.callback("alive"))?;
    event_loop.call_at(0, fails())?;
    event_loop.turn()?;
    event_loop.turn()?;
    record.expect(["failed", "alive", "failed"])?;
    event_loop.call_exception_handler("by hand", None, Vec::new())?;
    equal("the notes", record.take().first().map(String::as_str), Some("no error"))?;
    Ok(Passed)
}

fn callback_panic(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.set_exception_handler(Some(noting(&record)))?;
    event_loop.call_soon(Callback::new(|_| panic!("boom")))?;
    event_loop.call_soon_threadsafe(Callback::new(|_| panic!("bang")))?;
    event_loop.call_soon(record.callback("alive"))?;
    event_loop.turn()?;
    record.expect(["panic boom", "panic bang", "alive"])?;
    Ok(Passed)
}

fn exception_handler_fails(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.set_exception_handler(Some(RepeatCallback::new(|_| panic!("in the handler"))))?;
    event_loop.call_soon(Callback::new(|_| panic!("in the callback")))?;
    event_loop.call_soon(record.callback("alive"))?;
    event_loop.turn()?;
    record.expect(["alive"])?;
    event_loop.set_exception_handler(None)?;
    event_loop.call_soon(Callback::new(|_| {
        Err(Error::new(ErrorCode::OTHER, "of the case itself, to be logged"))
    }))?;
    event_loop.call_soon(record.callback("still alive"))?;
    event_loop.turn()?;
    record.expect(["still alive"])?;
    Ok(Passed)
}

fn local_callback(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = bench.event_loop()?;
    let seen = Rc::new(RefCell::new(Vec::new()));
    let list = seen.clone();
    event_loop.call_soon(Callback::local(move |_| {
        list.borrow_mut().push(1);
        Ok(())
    }))?;
    event_loop.turn()?;
    equal("the list", seen.take(), [1])?;
    Ok(Passed)
}
