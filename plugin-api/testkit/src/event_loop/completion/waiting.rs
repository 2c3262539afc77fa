//! Operations that wait: for readiness, a process, the clock, or nothing; and close.

use std::{
    io::{Read, Write},
    os::fd::IntoRawFd,
    time::Duration,
};

use loophost_plugin_api::{ErrorCode, Interest, Op, OpCode, RepeatCallback};

use super::{
    errno::ECANCELED,
    event_loop_with,
    submitted::{Memory, submit, submit_bare},
};
use crate::{
    Case, Program, Verdict,
    event_loop::{LoopBench, fd, pair},
    record::{OnDrop, Record},
    verdict::{Passed, ensure, equal, skipped},
};

pub(super) const CASES: &[Case] = &[
    Case::event_loop("loop/op-nop", "nothing is told 0, in a later turn", nop),
    Case::event_loop(
        "loop/op-submits-the-next",
        "the callback of an operation, and its drop, may use the loop",
        submits_the_next,
    ),
    Case::event_loop("loop/op-error", "a callback that fails is reported", callback_error),
    Case::event_loop(
        "loop/op-timeout",
        "a timeout is told 0 when the clock has reached its time, and not before",
        timeout,
    ),
    Case::event_loop("loop/op-poll", "a poll is told what the descriptor is ready for", poll),
    Case::event_loop(
        "loop/op-poll-multishot",
        "with MULTISHOT one poll tells each time, until it is cancelled",
        poll_multishot,
    ),
    Case::event_loop(
        "loop/op-wait-process",
        "a wait for a process is told 0 when it has exited, and leaves its status",
        wait_process,
    ),
    Case::event_loop("loop/op-close", "a close is told 0, and the other end sees it", close),
];

fn nop(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = event_loop_with(bench, &[OpCode::NOP])?;
    let nop = submit(&event_loop, Op::new(OpCode::NOP, -1), Memory::none())?;
    ensure!(nop.results().is_empty(), "the callback was called from inside submit");
    equal("the result", nop.finish(&event_loop)?, 0)?;
    ensure!(!event_loop.cancel_op(nop.id)?, "cancel_op of what has ended: expected false");
    Ok(Passed)
}

fn submits_the_next(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (event_loop_with(bench, &[OpCode::NOP])?, Record::default());
    let (inner, notes) = (event_loop.clone(), record.clone());
    let (of_drop, notes_of_drop) = (event_loop.clone(), record.clone());
    let dropped = OnDrop(move || notes_of_drop.refusal("stop in a drop:", of_drop.stop()));
    let callback = RepeatCallback::new(move |_| {
        let _until_here = &dropped;
        let notes_of_next = notes.clone();
        let next = RepeatCallback::new(move |_| {
            notes_of_next.note("second");
            Ok(())
        });
        submit_bare(&inner, Op::new(OpCode::NOP, -1), next)?;
        notes.note("first");
        Ok(())
    });
    submit_bare(&event_loop, Op::new(OpCode::NOP, -1), callback)?;
    event_loop.turns_until("both events", || record.len() >= 3)?;
    record.expect(["first", "stop in a drop: worked", "second"])?;
    Ok(Passed)
}

fn callback_error(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (event_loop_with(bench, &[OpCode::NOP])?, Record::default());
    event_loop.set_exception_handler(Some(record.repeat("reported")))?;
    let callback = RepeatCallback::new(|_| panic!("in an operation's callback"));
    submit_bare(&event_loop, Op::new(OpCode::NOP, -1), callback)?;
    event_loop.turns_until("the report", || !record.is_empty())?;
    record.expect(["reported"])?;
    Ok(Passed)
}

fn timeout(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = event_loop_with(bench, &[OpCode::TIMEOUT])?;
    let at = |offset| Op { offset, ..Op::new(OpCode::TIMEOUT, -1) };
    let when = event_loop.time() + Duration::from_millis(10).as_nanos() as u64;
    let never = submit(&event_loop, at(u64::MAX), Memory::none())?;
    let soon = submit(&event_loop, at(when), Memory::none())?;
    let past = submit(&event_loop, at(0), Memory::none())?;
    equal("the result of a time that is past", past.finish(&event_loop)?, 0)?;
    // On a busy machine its time may have come by now.
    if !soon.has_ended() {
        event_loop.turn_woken_by("a timeout")?;
    }
    equal("the result", soon.finish(&event_loop)?, 0)?;
    ensure!(event_loop.time() >= when, "it was told before its time");
    ensure!(event_loop.cancel_op(never.id)?, "cancel_op: expected true");
    equal("the result of what was cancelled", never.finish(&event_loop)?, -ECANCELED)?;
    Ok(Passed)
}

fn poll(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = event_loop_with(bench, &[OpCode::POLL])?;
    let (near, mut far) = pair()?;
    let op = |interest: Interest| Op { arg32: interest.0, ..Op::new(OpCode::POLL, fd(&near)) };
    let write = submit(&event_loop, op(Interest::WRITE), Memory::none())?;
    let read = submit(&event_loop, op(Interest::READ), Memory::none())?;
    equal("ready for", write.finish(&event_loop)?, i64::from(Interest::WRITE.0))?;
    ensure!(!read.has_ended(), "ready for reading, and there is nothing");
    far.write_all(b"x")?;
    equal("ready for", read.finish(&event_loop)?, i64::from(Interest::READ.0))?;
    let both = submit(&event_loop, op(Interest::BOTH), Memory::none())?;
    equal("ready for", both.finish(&event_loop)?, i64::from(Interest::BOTH.0))?;
    Ok(Passed)
}

fn poll_multishot(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = event_loop_with(bench, &[OpCode::POLL])?;
    let (mut near, mut far) = pair()?;
    let op = Op { arg32: Interest::READ.0, flags: Op::MULTISHOT, ..Op::new(OpCode::POLL, fd(&near)) };
    let multishot = submit(&event_loop, op, Memory::none())?;
    for round in 1..=3 {
        let before = multishot.results().len();
        far.write_all(b"x")?;
        event_loop.turns_until(&format!("event {round}"), || multishot.results().len() > before)?;
        ensure!(!multishot.has_ended(), "it has ended without being cancelled");
        equal("bytes to read", near.read(&mut [0; 8])?, 1)?;
    }
    ensure!(event_loop.cancel_op(multishot.id)?, "cancel_op: expected true");
    event_loop.turns_until("the final event", || multishot.has_ended())?;
    equal("the final event", multishot.results().last().copied(), Some(-ECANCELED))?;
    Ok(Passed)
}

fn wait_process(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = event_loop_with(bench, &[OpCode::WAIT_PROCESS])?;
    let mut child = bench.harness.processes().spawn(&Program::waiting("exit 3"))?;
    if child.pidfd() < 0 {
        return Err(skipped("there are no pidfds"));
    }
    let exited = submit(&event_loop, Op::new(OpCode::WAIT_PROCESS, child.pidfd()), Memory::none())?;
    event_loop.turn()?;
    ensure!(exited.results().is_empty(), "it has ended, and the process lives");
    drop(child.take_stdin());
    equal("the result", exited.finish(&event_loop)?, 0)?;
    ensure!(bench.harness.exists(child.pid()), "the status was taken");
    let again = submit(&event_loop, Op::new(OpCode::WAIT_PROCESS, child.pidfd()), Memory::none())?;
    equal("the result, after the exit", again.finish(&event_loop)?, 0)?;
    Ok(Passed)
}

fn close(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = event_loop_with(bench, &[OpCode::CLOSE])?;
    let (near, mut far) = pair()?;
    let op = Op::new(OpCode::CLOSE, near.into_raw_fd().into());
    let closed = submit(&event_loop, op, Memory::none())?;
    equal("the result", closed.finish(&event_loop)?, 0)?;
    equal("bytes at the other end", far.read(&mut [0; 8])?, 0)?;
    let refused = submit(&event_loop, Op { arg32: 1, ..op }, Memory::none());
    crate::verdict::refused("a close with an argument", refused.map(drop), ErrorCode::NOT_SUPPORTED)?;
    Ok(Passed)
}
