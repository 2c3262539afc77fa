//! Cancelling: a wish, after which the final event comes all the same.

use std::{
    io::{Read, Write},
    os::fd::AsRawFd,
};

use loophost_plugin_api::{HandleId, Op, OpCode};

use super::{
    errno::ECANCELED,
    event_loop_with,
    submitted::{Memory, at_its_position, submit},
};
use crate::{
    Case, Verdict,
    event_loop::{LoopBench, fd, pair},
    record::Record,
    verdict::{Passed, ensure, equal},
};

pub(super) const CASES: &[Case] = &[
    Case::event_loop(
        "loop/op-cancel",
        "a cancelled operation has one final event, ECANCELED, and gives its memory back untouched",
        cancel,
    ),
    Case::event_loop(
        "loop/op-cancel-finished",
        "cancelling what has ended, or was never there, is false and changes nothing",
        cancel_finished,
    ),
    Case::event_loop(
        "loop/op-cancel-at-once",
        "an operation that is cancelled right after it was submitted has one final event",
        cancel_at_once,
    ),
];

fn cancel(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = event_loop_with(bench, &[OpCode::READ, OpCode::RECV])?;
    let (mut near, mut far) = pair()?;
    let (pipe, _writer) = std::io::pipe()?;
    let ops = [
        at_its_position(OpCode::READ, fd(&near)),
        Op::new(OpCode::RECV, fd(&near)),
        at_its_position(OpCode::READ, pipe.as_raw_fd().into()),
    ];
    for op in ops {
        let read = submit(&event_loop, op, Memory::buffer([1; 8]))?;
        event_loop.turn()?;
        ensure!(event_loop.cancel_op(read.id)?, "cancel_op: expected true");
        ensure!(read.results().is_empty(), "the callback was called from inside cancel_op");
        equal("the result", read.finish(&event_loop)?, -ECANCELED)?;
        ensure!(!event_loop.cancel_op(read.id)?, "cancel_op of what has ended: expected false");
        far.write_all(b"x")?;
        event_loop.turn()?;
        equal("the buffer", read.bytes()?, [1; 8])?;
        equal("bytes that nobody has taken", near.read(&mut [0; 8])?, 1)?;
    }
    Ok(Passed)
}

fn cancel_finished(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (event_loop_with(bench, &[OpCode::NOP])?, Record::default());
    let nop = submit(&event_loop, Op::new(OpCode::NOP, -1), Memory::none())?;
    equal("the result", nop.finish(&event_loop)?, 0)?;
    let soon = event_loop.call_soon(record.callback("called"))?;
    for id in [nop.id, soon, HandleId(0), HandleId(u64::MAX)] {
        ensure!(!event_loop.cancel_op(id)?, "cancel_op of {id:?}: expected false");
    }
    event_loop.turn()?;
    record.expect(["called"])?;
    equal("the events", nop.results(), [0])?;
    Ok(Passed)
}

fn cancel_at_once(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = event_loop_with(bench, &[OpCode::RECV])?;
    let (near, mut far) = pair()?;
    let op = Op::new(OpCode::RECV, fd(&near));
    let waits = submit(&event_loop, op, Memory::buffer([0; 8]))?;
    ensure!(event_loop.cancel_op(waits.id)?, "cancel_op: expected true");
    equal("the result", waits.finish(&event_loop)?, -ECANCELED)?;
    far.write_all(b"x")?;
    let reads = submit(&event_loop, op, Memory::buffer([0; 8]))?;
    // Perhaps it has come too late.
    event_loop.cancel_op(reads.id)?;
    let result = reads.finish(&event_loop)?;
    ensure!([1, -ECANCELED].contains(&result), "expected 1 or ECANCELED, got {result}");
    Ok(Passed)
}
