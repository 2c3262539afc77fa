//! The end of a loop that has operations under way: memory is given back, or leaked, and never too early.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::fd::AsRawFd,
    thread,
};

use loophost_plugin_api::{Capabilities, ErrorCode, HandleId, LoopHandle, Op, OpCode};

use super::{
    errno::ECANCELED,
    event_loop_with,
    submitted::{Memory, Submitted, accepted, submit, submit_noting},
};
use crate::{
    Case, Verdict,
    event_loop::{LoopBench, fd, pair},
    record::Record,
    verdict::{Passed, ensure, equal, failed, refused},
};

pub(super) const CASES: &[Case] = &[
    Case::event_loop(
        "loop/op-close-under-way",
        "close cancels operations, and drops their callbacks after their final events",
        close_under_way,
    ),
    Case::event_loop(
        "loop/op-drop-under-way",
        "a loop that is dropped with operations under way, in any thread, gives memory back or leaks it",
        drop_under_way,
    ),
    Case::event_loop(
        "loop/op-close-accept",
        "a connection that was accepted and not told yet is told by close",
        close_accept,
    ),
    Case::event_loop(
        "loop/op-close-releases",
        "after close the loop holds none of the files that it worked on",
        close_releases,
    ),
    Case::event_loop("loop/op-closed-refuses", "a closed loop refuses operations", closed_refuses),
];

fn receive(event_loop: &LoopHandle, fd: i64, record: &Record) -> Verdict<Submitted> {
    Ok(submit_noting(event_loop, Op::new(OpCode::RECV, fd), Memory::buffer([1; 64]), record)?)
}

/// The memory was given back after a final event and is written to no more, or it was kept.
fn gave_back_or_keeps(receive: &Submitted, far: &mut impl Write) -> Verdict<()> {
    // Into the buffer, if the system still had it.
    far.write_all(&[2; 64])?;
    if !receive.has_ended() {
        ensure!(!receive.is_dropped(), "the memory was freed without a final event");
        return Ok(());
    }
    equal("the result", receive.only_event()?.result, -ECANCELED)?;
    equal("the buffer", receive.bytes()?, [1; 64])?;
    Ok(())
}

fn close_under_way(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (event_loop_with(bench, &[OpCode::RECV, OpCode::TIMEOUT])?, Record::default());
    let (near, mut far) = pair()?;
    let under_way = receive(&event_loop, fd(&near), &record)?;
    event_loop.turn()?;
    let (other, mut other_far) = pair()?;
    let fresh = receive(&event_loop, fd(&other), &record)?;
    let never = Op { offset: u64::MAX, ..Op::new(OpCode::TIMEOUT, -1) };
    let timeout = submit_noting(&event_loop, never, Memory::none(), &record)?;
    event_loop.close()?;
    record.expect(["final event", "dropped", "final event", "dropped", "final event", "dropped"])?;
    for submitted in [&under_way, &fresh, &timeout] {
        equal("the result", submitted.only_event()?.result, -ECANCELED)?;
    }
    gave_back_or_keeps(&under_way, &mut far)?;
    gave_back_or_keeps(&fresh, &mut other_far)?;
    Ok(Passed)
}

fn drop_under_way(bench: &LoopBench<'_>) -> Verdict {
    event_loop_with(bench, &[OpCode::RECV])?;
    for in_its_own_thread in [true, false] {
        let (event_loop, record) = (bench.bare_loop()?, Record::default());
        let (near, mut far) = pair()?;
        let submitted = receive(&event_loop, fd(&near), &record)?;
        // By now the system has it.
        event_loop.run_once(Some(std::time::Duration::ZERO))?;
        if in_its_own_thread {
            drop(event_loop);
        } else if thread::spawn(move || drop(event_loop)).join().is_err() {
            return Err(failed("the drop has panicked in another thread"));
        }
        gave_back_or_keeps(&submitted, &mut far)?;
    }
    // Made, run and left by a thread that is gone.
    let event_loop = bench.bare_loop()?;
    let (near, mut far) = pair()?;
    let (its, stream) = (event_loop.clone(), fd(&near));
    let submitted = thread::spawn(move || {
        let submitted = receive(&its, stream, &Record::default())?;
        its.run_once(Some(std::time::Duration::ZERO))?;
        Ok(submitted)
    });
    let submitted: Verdict<Submitted> =
        submitted.join().unwrap_or_else(|_| Err(failed("the thread has panicked")));
    let submitted = submitted?;
    event_loop.close()?;
    gave_back_or_keeps(&submitted, &mut far)?;
    Ok(Passed)
}

fn close_accept(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = event_loop_with(bench, &[OpCode::ACCEPT])?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let op = Op::new(OpCode::ACCEPT, listener.as_raw_fd().into());
    let client = TcpStream::connect(listener.local_addr()?)?;
    let accept = submit(&event_loop, op, Memory::none())?;
    event_loop.close()?;
    let result = accept.only_event()?.result;
    if result == -ECANCELED {
        listener.set_nonblocking(true)?;
        equal("the connection", listener.accept()?.1, client.local_addr()?)?;
    } else {
        let stream = TcpStream::from(accepted(result)?);
        equal("the other end", stream.peer_addr()?, client.local_addr()?)?;
    }
    Ok(Passed)
}

fn close_releases(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = event_loop_with(bench, &[OpCode::RECV])?;
    let (near, mut far) = pair()?;
    let (watched, mut watched_far) = pair()?;
    receive(&event_loop, fd(&near), &Record::default())?;
    if event_loop.capabilities() & Capabilities::READINESS != 0 {
        event_loop.add_reader(fd(&watched), Record::default().repeat("reader"))?;
    }
    event_loop.turn()?;
    event_loop.close()?;
    drop((near, watched));
    equal("bytes at the other end", far.read(&mut [0; 8])?, 0)?;
    equal("bytes at the other end of a reader", watched_far.read(&mut [0; 8])?, 0)?;
    Ok(Passed)
}

fn closed_refuses(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (event_loop_with(bench, &[OpCode::RECV])?, Record::default());
    let (near, _far) = pair()?;
    event_loop.close()?;
    let op = Op::new(OpCode::RECV, fd(&near));
    let submitted = submit_noting(&event_loop, op, Memory::buffer([1; 8]), &record);
    refused("submit to a closed loop", submitted.map(drop), ErrorCode::LOOP_CLOSED)?;
    record.expect(["dropped"])?;
    refused("cancel_op of a closed loop", event_loop.cancel_op(HandleId(1)), ErrorCode::LOOP_CLOSED)?;
    Ok(Passed)
}
