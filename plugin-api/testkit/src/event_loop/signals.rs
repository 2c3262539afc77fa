//! Signal handlers of a loop.

use std::{
    io,
    process::{self, Command},
    sync::mpsc,
    thread,
};

use loophost_plugin_api::{ErrorCode, EventKind, RepeatCallback, host};

use super::LoopBench;
use crate::{
    Case, Verdict,
    record::{NotesDrop, Record},
    signal_number::{SIGKILL, SIGURG},
    verdict::{Passed, ensure, equal, failed, refused},
};

pub(super) const CASES: &[Case] = &[
    Case::event_loop(
        "loop/signal-handled",
        "a signal is handled in the loop's thread, by its number",
        signal_handled,
    ),
    Case::event_loop(
        "loop/signal-says-who",
        "the event of a signal has the sender's pid and the flags that the host has told",
        signal_says_who,
    ),
    Case::event_loop(
        "loop/signal-replaces-handler",
        "a second handler replaces the first",
        signal_replaces_handler,
    ),
    Case::event_loop(
        "loop/signal-removed",
        "a removed handler is dropped and not called; a second remove is false",
        signal_removed,
    ),
    Case::event_loop(
        "loop/signal-invalid",
        "what is no signal, or cannot be caught, is refused as an argument",
        signal_invalid,
    ),
    Case::event_loop("loop/signal-wakes", "a signal ends the sleep of the loop", signal_wakes),
    Case::event_loop(
        "loop/signal-handler-error",
        "a handler that fails is reported, and stays",
        signal_handler_error,
    ),
    Case::event_loop(
        "loop/signal-of-two-loops",
        "every loop that has a handler for a signal gets it",
        signal_of_two_loops,
    ),
    Case::event_loop("loop/close-drops-signal-handlers", "close drops the handlers of signals", close_drops),
];

/// asyncio: `test_add_signal_handler`.
fn signal_handled(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.requires_signals()?;
    let (here, notes) = (thread::current().id(), record.clone());
    let handler = RepeatCallback::new(move |event| {
        let is_right = event.kind() == EventKind::SIGNAL && event.result == i64::from(SIGURG);
        notes.note(match (is_right, thread::current().id() == here) {
            (true, true) => "in the loop's thread",
            (true, false) => "in another thread",
            (false, _) => "another event",
        });
        Ok(())
    });
    event_loop.add_signal_handler(SIGURG, handler)?;
    bench.harness.raise(SIGURG)?;
    event_loop.turns_until("the handler", || !record.is_empty())?;
    record.expect(["in the loop's thread"])?;
    Ok(Passed)
}

fn signal_says_who(bench: &LoopBench<'_>) -> Verdict {
    /// What was told: the number, the sender, the flags.
    fn telling(sender: mpsc::Sender<(i64, u64, u32)>) -> RepeatCallback {
        RepeatCallback::new(move |event| {
            // Nobody listens any more when the case has failed.
            let _ = sender.send((event.result, event.aux, event.flags));
            Ok(())
        })
    }

    let event_loop = bench.event_loop()?;
    event_loop.requires_signals()?;
    let ((by_host, of_host), (by_loop, of_loop)) = (mpsc::channel(), mpsc::channel());
    let subscription = host::signal_subscribe(SIGURG, telling(by_host))?;
    event_loop.add_signal_handler(SIGURG, telling(by_loop))?;
    bench.harness.raise(SIGURG)?;
    let mut told = None;
    event_loop.turns_until("the handler", || {
        told = of_loop.try_recv().ok();
        told.is_some()
    })?;
    // The host has called the earlier subscriber first.
    let expected = of_host.try_recv().map_err(|_| failed("the host has told the loop only"))?;
    host::signal_unsubscribe(subscription)?;
    equal("number, sender and flags", told, Some(expected))?;
    equal("number and sender", (expected.0, expected.1), (SIGURG.into(), process::id().into()))?;
    Ok(Passed)
}

fn signal_replaces_handler(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.requires_signals()?;
    event_loop.add_signal_handler(SIGURG, record.repeat("first"))?;
    event_loop.add_signal_handler(SIGURG, record.repeat("second"))?;
    bench.harness.raise(SIGURG)?;
    event_loop.turns_until("the handler", || !record.is_empty())?;
    event_loop.turn()?;
    record.expect(["second"])?;
    Ok(Passed)
}

/// asyncio: `test_remove_signal_handler`.
fn signal_removed(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.requires_signals()?;
    let (notes, dropped) = (record.clone(), NotesDrop(record.clone(), "dropped"));
    let handler = RepeatCallback::new(move |_| {
        let _until_here = &dropped;
        notes.note("called");
        Ok(())
    });
    event_loop.add_signal_handler(SIGURG, handler)?;
    ensure!(event_loop.remove_signal_handler(SIGURG)?, "remove_signal_handler: expected true");
    ensure!(!event_loop.remove_signal_handler(SIGURG)?, "remove_signal_handler again: expected false");
    // Another handler, so that there is something to wait for.
    let other = bench.harness.new_event_loop()?;
    let seen = Record::default();
    other.add_signal_handler(SIGURG, seen.repeat("seen"))?;
    bench.harness.raise(SIGURG)?;
    let other = crate::test_loop::TestLoop::new(other, bench.harness.patience())?;
    other.turns_until("the handler of another loop", || !seen.is_empty())?;
    event_loop.turn()?;
    record.expect(["dropped"])?;
    Ok(Passed)
}

/// asyncio: `test_add_signal_handler_setup_error`, `check_signal`.
fn signal_invalid(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = bench.event_loop()?;
    event_loop.requires_signals()?;
    for signum in [0, -1, 1000, i32::MAX, SIGKILL] {
        let added = event_loop.add_signal_handler(signum, RepeatCallback::new(|_| Ok(())));
        refused(&format!("add_signal_handler({signum})"), added, ErrorCode::INVALID_ARGUMENT)?;
        if let Ok(true) = event_loop.remove_signal_handler(signum) {
            return Err(failed(format!("remove_signal_handler({signum}): there is none to remove")));
        }
    }
    Ok(Passed)
}

/// asyncio: `test_signal_handling_while_selecting`.
fn signal_wakes(bench: &LoopBench<'_>) -> Verdict {
    const ROUNDS: usize = 50;
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.requires_signals()?;
    event_loop.add_signal_handler(SIGURG, record.repeat("called"))?;
    let (go, round) = mpsc::channel::<()>();
    let pid = process::id().to_string();
    // By another process, so that the kernel gives it to this thread, which sleeps, and interrupts it.
    let other = thread::spawn(move || {
        while round.recv().is_ok() {
            Command::new("kill").args(["-URG", &pid]).status()?;
        }
        Ok::<(), io::Error>(())
    });
    for n in 1..=ROUNDS {
        go.send(()).map_err(|_| failed("the other thread has ended"))?;
        while record.len() < n {
            event_loop.turn_woken_by(&format!("signal number {n}"))?;
        }
    }
    drop(go);
    other.join().map_err(|_| failed("the other thread panicked"))??;
    Ok(Passed)
}

fn signal_handler_error(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.requires_signals()?;
    event_loop.set_exception_handler(Some(record.repeat("reported")))?;
    event_loop.add_signal_handler(SIGURG, RepeatCallback::new(|_| panic!("in a signal handler")))?;
    for round in 1..=2 {
        bench.harness.raise(SIGURG)?;
        event_loop.turns_until("the report", || record.len() >= round)?;
    }
    ensure!(event_loop.remove_signal_handler(SIGURG)?, "remove_signal_handler: expected true");
    Ok(Passed)
}

fn signal_of_two_loops(bench: &LoopBench<'_>) -> Verdict {
    let (first, second) = (bench.event_loop()?, bench.event_loop()?);
    first.requires_signals()?;
    let record = Record::default();
    first.add_signal_handler(SIGURG, record.repeat("first"))?;
    second.add_signal_handler(SIGURG, record.repeat("second"))?;
    bench.harness.raise(SIGURG)?;
    first.turns_until("the handler of the first loop", || !record.is_empty())?;
    record.expect(["first"])?;
    second.turns_until("the handler of the second loop", || !record.is_empty())?;
    record.expect(["second"])?;
    Ok(Passed)
}

/// asyncio: `test_close` of SelectorEventLoopSignalTests.
fn close_drops(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.requires_signals()?;
    let dropped = NotesDrop(record.clone(), "dropped");
    let handler = RepeatCallback::new(move |_| {
        let _until_here = &dropped;
        Ok(())
    });
    event_loop.add_signal_handler(SIGURG, handler)?;
    event_loop.close()?;
    record.expect(["dropped"])?;
    let added = event_loop.add_signal_handler(SIGURG, RepeatCallback::new(|_| Ok(())));
    refused("add_signal_handler after close", added, ErrorCode::LOOP_CLOSED)?;
    Ok(Passed)
}
