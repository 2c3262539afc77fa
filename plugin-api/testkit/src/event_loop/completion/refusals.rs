//! What is refused before anything starts.

use std::{ptr, sync::mpsc, thread};

use loophost_plugin_api::{Callback, Capabilities, ErrorCode, HandleId, Op, OpCode};

use super::{
    event_loop_with,
    submitted::{Memory, submit_noting},
};
use crate::{
    Case, Verdict,
    event_loop::LoopBench,
    record::Record,
    verdict::{Passed, ensure, failed, refused},
};

pub(super) const CASES: &[Case] = &[
    Case::event_loop(
        "loop/op-unknown-refused",
        "unknown operations, flags and fields are NOT_SUPPORTED, and the callback is dropped",
        unknown_refused,
    ),
    Case::event_loop(
        "loop/op-none-supported",
        "a loop without COMPLETION refuses every operation with NOT_SUPPORTED",
        none_supported,
    ),
    Case::event_loop(
        "loop/op-thread-rule",
        "while the loop runs, submit elsewhere answers WRONG_THREAD and drops the callback",
        thread_rule,
    ),
];

fn unknown_refused(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (event_loop_with(bench, &[OpCode::NOP])?, Record::default());
    let nop = Op::new(OpCode::NOP, -1);
    let timeout = Op { offset: u64::MAX, ..Op::new(OpCode::TIMEOUT, -1) };
    for op in [
        Op::new(OpCode(1000), -1),
        // The last one that is not a plugin's own.
        Op::new(OpCode(u32::MAX >> 1), -1),
        Op { flags: 1 << 31, ..nop },
        Op { flags: Op::MULTISHOT, ..nop },
        Op { flags: Op::MULTISHOT, ..timeout },
        Op { fd: 0, ..nop },
        Op { len: 1, ..nop },
        Op { ptr: ptr::dangling_mut(), ..nop },
        Op { addr: ptr::dangling_mut(), ..timeout },
        Op { arg32: 1, ..timeout },
        Op { offset: 1, ..nop },
        Op { args: [0, 1, 0], ..nop },
        Op { arg32: 1 << 30, ..Op::new(OpCode::POLL, 0) },
    ] {
        let submitted = submit_noting(&event_loop, op, Memory::none(), &record);
        refused(&format!("{op:?}"), submitted.map(drop), ErrorCode::NOT_SUPPORTED)?;
        record.expect(["dropped"])?;
    }
    event_loop.turn()?;
    record.expect([])?;
    Ok(Passed)
}

fn none_supported(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    if event_loop.capabilities() & Capabilities::COMPLETION != 0 {
        ensure!(event_loop.supports(OpCode::NOP), "COMPLETION is named, and there is not even NOP");
        return Ok(Passed);
    }
    for code in 0..=OpCode::CLOSE.0 {
        let op = Op::new(OpCode(code), -1);
        let submitted = submit_noting(&event_loop, op, Memory::none(), &record);
        refused(&format!("operation {code}"), submitted.map(drop), ErrorCode::NOT_SUPPORTED)?;
        record.expect(["dropped"])?;
    }
    Ok(Passed)
}

fn thread_rule(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (event_loop_with(bench, &[OpCode::NOP])?, Record::default());
    let (inner, notes) = (event_loop.clone(), record.clone());
    let (tell, told) = mpsc::channel();
    event_loop.call_soon(Callback::new(move |_| {
        let elsewhere = thread::spawn(move || {
            let nop = Op::new(OpCode::NOP, -1);
            let submitted = submit_noting(&inner, nop, Memory::none(), &notes);
            [submitted.map(drop), inner.cancel_op(HandleId(1)).map(drop)]
        });
        // A case that fails says so by the missing message.
        elsewhere.join().map(|results| tell.send(results)).ok();
        Ok(())
    }))?;
    event_loop.turn()?;
    let results = told.recv().map_err(|_| failed("the other thread has panicked"))?;
    for result in results {
        refused("submit or cancel_op elsewhere", result, ErrorCode::WRONG_THREAD)?;
    }
    record.expect(["dropped"])?;
    Ok(Passed)
}
