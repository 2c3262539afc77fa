//! Other threads: waking the loop, and the thread rule.

use std::{
    io::{Read, Write},
    sync::mpsc,
    thread,
    time::Duration,
};

use loophost_plugin_api::{
    Callback, Capabilities, Error, ErrorCode, HandleId, Interest, LoopHandle, RepeatCallback, Stat,
};

use super::{LoopBench, fd, pair};
use crate::{
    Case, Verdict,
    record::Record,
    signal_number::SIGURG,
    verdict::{Code, Passed, ensure, equal, failed, refused, skipped},
};

pub(super) const CASES: &[Case] = &[
    Case::event_loop(
        "loop/wakes-from-thread",
        "call_soon_threadsafe ends the sleep of the loop, again and again",
        wakes_from_thread,
    ),
    Case::event_loop(
        "loop/wakes-for-stop",
        "stop from another thread ends a run that sleeps",
        wakes_for_stop,
    ),
    Case::event_loop(
        "loop/threads-keep-their-order",
        "the callbacks of each of several threads run once each, in the order of that thread",
        threads_keep_order,
    ),
    Case::event_loop(
        "loop/wakes-are-coalesced",
        "a thousand calls cost at most one wake-up a turn",
        wakes_coalesced,
    ),
    Case::event_loop(
        "loop/thread-rule",
        "while the loop runs, thread-bound methods elsewhere answer WRONG_THREAD and do nothing",
        thread_rule,
    ),
    Case::event_loop(
        "loop/idle-in-any-thread",
        "an idle loop may be used by another thread",
        idle_in_any_thread,
    ),
    Case::event_loop(
        "loop/watched-in-any-thread",
        "descriptors that are watched are told of to whichever thread runs the loop",
        watched_in_any_thread,
    ),
    Case::event_loop(
        "loop/bound-to-its-thread",
        "a loop that is bound to the thread of its first run answers WRONG_THREAD elsewhere, and is closed there",
        bound_to_its_thread,
    ),
    Case::event_loop(
        "loop/idle-collision",
        "threads that collide on an idle loop get BUSY at worst, and leave it whole",
        idle_collision,
    ),
];

/// asyncio: `test_call_soon_threadsafe`.
fn wakes_from_thread(bench: &LoopBench<'_>) -> Verdict {
    const ROUNDS: usize = 200;
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    let (go, round) = mpsc::channel::<()>();
    let (inner, notes) = (event_loop.clone(), record.clone());
    let other = thread::spawn(move || {
        while round.recv().is_ok() {
            inner.call_soon_threadsafe(notes.callback("called"))?;
        }
        Ok::<(), Error>(())
    });
    for n in 1..=ROUNDS {
        // Sent now, the call comes before the loop sleeps, while it is about to, or in its sleep.
        go.send(()).map_err(|_| failed("the other thread has ended"))?;
        while record.len() < n {
            event_loop.turn_woken_by(&format!("call_soon_threadsafe number {n}"))?;
        }
    }
    drop(go);
    other.join().map_err(|_| failed("the other thread panicked"))??;
    equal("calls", record.len(), ROUNDS)?;
    Ok(Passed)
}

fn wakes_for_stop(bench: &LoopBench<'_>) -> Verdict {
    const ROUNDS: usize = 200;
    let event_loop = bench.event_loop()?;
    let (started, is_running) = mpsc::channel::<()>();
    let inner = event_loop.clone();
    let other = thread::spawn(move || {
        while is_running.recv().is_ok() {
            inner.stop()?;
        }
        Ok::<(), Error>(())
    });
    for n in 1..=ROUNDS {
        // The stop comes before the loop sleeps, while it is about to, or in its sleep.
        let tell = started.clone();
        event_loop.call_soon(Callback::new(move |_| {
            let _ = tell.send(());
            Ok(())
        }))?;
        event_loop.run(&format!("stop number {n} from another thread"))?;
    }
    drop(started);
    other.join().map_err(|_| failed("the other thread panicked"))??;
    Ok(Passed)
}

fn threads_keep_order(bench: &LoopBench<'_>) -> Verdict {
    const THREADS: usize = 4;
    const CALLS: usize = 250;
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (inner, record) = (event_loop.clone(), record.clone());
            thread::spawn(move || {
                (0..CALLS).try_for_each(|call| {
                    let notes = record.clone();
                    let callback = Callback::new(move |_| {
                        notes.note(format!("{thread} {call:04}"));
                        Ok(())
                    });
                    inner.call_soon_threadsafe(callback).map(drop)
                })
            })
        })
        .collect();
    event_loop.turns_until("the callbacks of four threads", || record.len() >= THREADS * CALLS)?;
    for thread in threads {
        thread.join().map_err(|_| failed("a thread panicked"))??;
    }
    event_loop.turn()?;
    let called = record.take();
    equal("calls", called.len(), THREADS * CALLS)?;
    for thread in 0..THREADS {
        let of_thread = called.iter().filter(|note| note.starts_with(&format!("{thread} ")));
        ensure!(of_thread.is_sorted(), "the callbacks of thread {thread} did not run in their order");
    }
    Ok(Passed)
}

fn wakes_coalesced(bench: &LoopBench<'_>) -> Verdict {
    const CALLS: usize = 1000;
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.requires_stat(Stat::WAKEUPS, "WAKEUPS")?;
    event_loop.requires_stat(Stat::TURNS, "TURNS")?;
    let (inner, notes) = (event_loop.clone(), record.clone());
    let other = thread::spawn(move || {
        (0..CALLS).try_for_each(|_| inner.call_soon_threadsafe(notes.callback("x")).map(drop))
    });
    event_loop.turns_until("a thousand callbacks", || record.len() == CALLS)?;
    other.join().map_err(|_| failed("the other thread panicked"))??;
    let turns = event_loop.requires_stat(Stat::TURNS, "TURNS")?;
    let wakeups = event_loop.requires_stat(Stat::WAKEUPS, "WAKEUPS")?;
    // One more may have been written after the last turn.
    ensure!(wakeups <= turns + 1, "{wakeups} wake-ups in {turns} turns: expected at most one a turn");
    Ok(Passed)
}

fn thread_rule(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    let (inner, notes) = (event_loop.clone(), record.clone());
    event_loop.call_soon(Callback::new(move |_| {
        let there = inner.clone();
        let codes = thread::spawn(move || {
            let (soon, repeat) = (|| Callback::new(|_| Ok(())), || RepeatCallback::new(|_| Ok(())));
            let wrong = ErrorCode::WRONG_THREAD;
            [
                ("call_soon", there.call_soon(soon()).map(drop), wrong),
                ("call_at", there.call_at(0, soon()).map(drop), wrong),
                ("cancel", there.cancel(HandleId(1)).map(drop), wrong),
                ("add_reader", there.add_reader(0, repeat()), wrong),
                ("remove_reader", there.remove_reader(0).map(drop), wrong),
                ("set_debug", there.set_debug(true), wrong),
                ("set_exception_handler", there.set_exception_handler(None), wrong),
                ("call_exception_handler", there.call_exception_handler("", None, Vec::new()), wrong),
                ("add_signal_handler", there.add_signal_handler(SIGURG, repeat()), wrong),
                ("run_once", there.run_once(Some(Duration::ZERO)), ErrorCode::LOOP_RUNNING),
                ("close", there.close(), ErrorCode::LOOP_RUNNING),
            ]
            .map(|(method, result, expected)| (method, result.map_err(|error| error.code()), expected))
        })
        .join();
        let Ok(codes) = codes else {
            return Err(Error::new(ErrorCode::PANICKED, "the other thread panicked"));
        };
        for (method, got, expected) in codes {
            match got {
                // What the loop does not support at all it does not support there either.
                Err(code) if code == expected || code == ErrorCode::NOT_SUPPORTED => {}
                Err(code) => notes.note(format!("{method} elsewhere: {}", Code(code))),
                Ok(()) => notes.note(format!("{method} elsewhere worked")),
            }
        }
        inner.stop()
    }))?;
    event_loop.run("a callback that stops")?;
    record.expect([])?;
    Ok(Passed)
}

fn idle_in_any_thread(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    if event_loop.capabilities() & Capabilities::THREAD_BOUND != 0 {
        return Err(skipped("the loop is bound to the thread of its first run"));
    }
    event_loop.turn()?;
    let (idle, notes) = (event_loop.clone(), record.clone());
    thread::spawn(move || {
        idle.call_soon(notes.callback("called"))?;
        idle.run_once(Some(Duration::ZERO))
    })
    .join()
    .map_err(|_| failed("the other thread panicked"))??;
    record.expect(["called"])?;
    Ok(Passed)
}

fn watched_in_any_thread(bench: &LoopBench<'_>) -> Verdict {
    const ROUNDS: usize = 4;
    let (event_loop, read, streamed) = (bench.event_loop()?, Record::default(), Record::default());
    event_loop.requires_readiness()?;
    if event_loop.capabilities() & Capabilities::THREAD_BOUND != 0 {
        return Err(skipped("the loop is bound to the thread of its first run"));
    }
    let ((mut reader, mut to_reader), (mut stream, mut to_stream)) = (pair()?, pair()?);
    event_loop.add_reader(fd(&reader), read.repeat("reader"))?;
    let id = event_loop.watch_io(fd(&stream), Interest::READ, streamed.repeat("stream"))?;
    event_loop.turn()?;
    for round in 0..ROUNDS {
        // What comes while nobody runs the loop is not lost either.
        to_reader.write_all(b"x")?;
        to_stream.write_all(b"x")?;
        let heard =
            || event_loop.turns_until("both descriptors", || !read.is_empty() && !streamed.is_empty());
        if round % 2 == 0 {
            let there = thread::scope(|scope| scope.spawn(heard).join());
            there.map_err(|_| failed("the other thread panicked"))??;
        } else {
            heard()?;
        }
        equal("bytes of the reader", reader.read(&mut [0; 8])?, 1)?;
        equal("bytes of the stream", stream.read(&mut [0; 8])?, 1)?;
        drop((read.take(), streamed.take()));
        event_loop.rearm_io(id, Interest::READ)?;
    }
    Ok(Passed)
}

fn bound_to_its_thread(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    if event_loop.capabilities() & Capabilities::THREAD_BOUND == 0 {
        return Err(skipped("the loop is not bound to a thread"));
    }
    let (inner, notes) = (event_loop.clone(), record.clone());
    let elsewhere = move || -> Verdict<LoopHandle> {
        inner.call_soon_threadsafe(notes.callback("called"))?;
        for (method, result) in [
            ("call_soon", inner.call_soon(notes.callback("call_soon")).map(drop)),
            ("call_at", inner.call_at(0, notes.callback("call_at")).map(drop)),
            ("cancel", inner.cancel(HandleId(1)).map(drop)),
            ("run_once", inner.run_once(Some(Duration::ZERO))),
        ] {
            refused(&format!("{method} elsewhere"), result, ErrorCode::WRONG_THREAD)?;
        }
        Ok(inner)
    };
    event_loop.turn()?;
    let inner = thread::spawn(elsewhere).join().map_err(|_| failed("the other thread panicked"))??;
    event_loop.turn()?;
    record.expect(["called"])?;
    let closed = thread::spawn(move || inner.close()).join();
    closed.map_err(|_| failed("the other thread panicked"))??;
    ensure!(event_loop.is_closed(), "is_closed after close elsewhere: expected true");
    Ok(Passed)
}

fn idle_collision(bench: &LoopBench<'_>) -> Verdict {
    const ROUNDS: usize = 5_000;
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.requires_readiness()?;
    let (near, _far) = pair()?;
    let me = fd(&near);
    let hammer = |call: &(dyn Fn() -> Result<(), Error> + Sync)| {
        for _ in 0..ROUNDS {
            match call() {
                Err(error) if error.code() != ErrorCode::BUSY => {
                    record.note(error.to_string());
                    return;
                }
                _ => {}
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| hammer(&|| event_loop.add_reader(me, RepeatCallback::new(|_| Ok(())))));
        scope.spawn(|| hammer(&|| event_loop.remove_writer(me).map(drop)));
        scope.spawn(|| hammer(&|| event_loop.cancel(HandleId(0)).map(drop)));
    });
    record.expect([])?;
    event_loop.add_reader(me, RepeatCallback::new(|_| Ok(())))?;
    ensure!(event_loop.remove_reader(me)?, "remove_reader afterwards: expected true");
    event_loop.turn()?;
    Ok(Passed)
}
