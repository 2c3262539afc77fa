//! Reading and writing.

use std::{
    io::{self, Read, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
};

use loophost_plugin_api::{Fd, Interest, Op, OpCode};

use super::{
    errno::{EBADF, EPIPE},
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
        "loop/op-read",
        "a read waits for what comes, and is told how much that is, also if it is less than asked for",
        read,
    ),
    Case::event_loop("loop/op-read-end-of-file", "a read at end of file is told 0", read_at_end),
    Case::event_loop("loop/op-write", "a write is told how many bytes it took", write),
    Case::event_loop("loop/op-vectored", "readv and writev fill and take several buffers", vectored),
    Case::event_loop(
        "loop/op-descriptor-that-blocks",
        "reading and writing what would block keeps the loop from nothing",
        descriptor_that_blocks,
    ),
    Case::event_loop("loop/op-bad-descriptor", "a bad descriptor is an event with EBADF", bad_descriptor),
    Case::event_loop("loop/op-write-hung-up", "a send whose other end is gone is told EPIPE", send_hung_up),
    Case::event_loop(
        "loop/op-beside-reader",
        "a descriptor may have a reader and operations in both directions at the same time",
        beside_reader,
    ),
    Case::event_loop("loop/op-many", "three thousand operations are under way at once", many),
];

fn read(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = event_loop_with(bench, &[OpCode::READ])?;
    let (near, mut far) = pair()?;
    let read = || submit(&event_loop, at_its_position(OpCode::READ, fd(&near)), Memory::buffer([0; 8]));
    let waits = read()?;
    event_loop.turn()?;
    ensure!(waits.results().is_empty(), "a read of nothing has ended: {:?}", waits.results());
    far.write_all(b"abc")?;
    equal("the result", waits.finish(&event_loop)?, 3)?;
    equal("the buffer", waits.bytes()?, b"abc\0\0\0\0\0")?;
    far.write_all(b"0123456789")?;
    let at_once = read()?;
    ensure!(at_once.results().is_empty(), "the callback was called from inside submit");
    equal("the result of a read of what is there", at_once.finish(&event_loop)?, 8)?;
    equal("the buffer", at_once.bytes()?, b"01234567")?;
    Ok(Passed)
}

fn read_at_end(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = event_loop_with(bench, &[OpCode::READ])?;
    let (reader, writer) = io::pipe()?;
    let op = at_its_position(OpCode::READ, reader.as_raw_fd().into());
    let read = submit(&event_loop, op, Memory::buffer([1; 4]))?;
    event_loop.turn()?;
    drop(writer);
    equal("the result", read.finish(&event_loop)?, 0)?;
    equal("the buffer", read.bytes()?, [1; 4])?;
    Ok(Passed)
}

fn write(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = event_loop_with(bench, &[OpCode::WRITE])?;
    let (near, mut far) = pair()?;
    let write = submit(&event_loop, at_its_position(OpCode::WRITE, fd(&near)), Memory::buffer(*b"abc"))?;
    equal("the result", write.finish(&event_loop)?, 3)?;
    let mut bytes = [0; 8];
    equal("bytes that came", far.read(&mut bytes)?, 3)?;
    equal("the bytes", &bytes[..3], b"abc")?;
    Ok(Passed)
}

fn vectored(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = event_loop_with(bench, &[OpCode::READV, OpCode::WRITEV])?;
    let (reader, writer) = io::pipe()?;
    let op = at_its_position(OpCode::READV, reader.as_raw_fd().into());
    let read = submit(&event_loop, op, Memory::parts(&[&[0; 2], &[0; 4], &[0; 4]]))?;
    event_loop.turn()?;
    let op = at_its_position(OpCode::WRITEV, writer.as_raw_fd().into());
    let write = submit(&event_loop, op, Memory::parts(&[b"abc", b"", b"defg"]))?;
    equal("the result of writev", write.finish(&event_loop)?, 7)?;
    equal("the result of readv", read.finish(&event_loop)?, 7)?;
    equal("the buffers", read.buffers()?, [b"ab".to_vec(), b"cdef".to_vec(), b"g\0\0\0".to_vec()])?;
    Ok(Passed)
}

fn descriptor_that_blocks(bench: &LoopBench<'_>) -> Verdict {
    const LARGE: usize = 4 << 20;
    let event_loop = event_loop_with(bench, &[OpCode::READ, OpCode::WRITE])?;
    let (near, mut far) = UnixStream::pair()?;
    let (reader, mut writer) = io::pipe()?;
    let read = |fd: Fd| submit(&event_loop, at_its_position(OpCode::READ, fd), Memory::buffer([0; 4]));
    let reads = [read(fd(&near))?, read(reader.as_raw_fd().into())?];
    event_loop.turn()?;
    let (pipe_reader, pipe_writer) = io::pipe()?;
    let write =
        |fd: Fd| submit(&event_loop, at_its_position(OpCode::WRITE, fd), Memory::buffer(vec![7; LARGE]));
    let writes = [write(fd(&near))?, write(pipe_writer.as_raw_fd().into())?];
    event_loop.turn()?;
    // All four ends are held, and nobody empties them yet: the loop has come this far.
    far.write_all(b"x")?;
    writer.write_all(b"x")?;
    for read in &reads {
        equal("the result of a read", read.finish(&event_loop)?, 1)?;
    }
    far.set_nonblocking(true)?;
    let sinks = std::thread::spawn(move || {
        // Until the writing ends are closed.
        io::copy(&mut { pipe_reader }, &mut io::sink())
    });
    let mut bytes = vec![0; 1 << 16];
    event_loop.turns_until("the end of a write to a socket", || {
        while matches!(far.read(&mut bytes), Ok(1..)) {}
        writes[0].has_ended()
    })?;
    for write in &writes {
        let taken = write.finish(&event_loop)?;
        ensure!((1..=LARGE as i64).contains(&taken), "expected that some bytes were taken, got {taken}");
    }
    drop(pipe_writer);
    ensure!(sinks.join().is_ok(), "the thread that reads the pipe has panicked");
    Ok(Passed)
}

fn bad_descriptor(bench: &LoopBench<'_>) -> Verdict {
    let codes = [OpCode::READ, OpCode::SEND, OpCode::ACCEPT, OpCode::CLOSE];
    let event_loop = event_loop_with(bench, &codes)?;
    for bad in [-1, 1 << 30, i64::from(i32::MAX) + 1] {
        for code in codes {
            let op = if code == OpCode::READ { at_its_position(code, bad) } else { Op::new(code, bad) };
            let has_buffer = matches!(code, OpCode::READ | OpCode::SEND);
            let memory = if has_buffer { Memory::buffer([0; 4]) } else { Memory::none() };
            let submitted = submit(&event_loop, op, memory)?;
            equal(
                &format!("the result of operation {} on {bad}", code.0),
                submitted.finish(&event_loop)?,
                -EBADF,
            )?;
        }
    }
    Ok(Passed)
}

fn send_hung_up(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = event_loop_with(bench, &[OpCode::SEND])?;
    let (near, far) = pair()?;
    drop(far);
    let op = Op::new(OpCode::SEND, fd(&near));
    let send = submit(&event_loop, op, Memory::buffer(*b"abc"))?;
    equal("the result", send.finish(&event_loop)?, -EPIPE)?;
    Ok(Passed)
}

fn beside_reader(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (event_loop_with(bench, &[OpCode::READ, OpCode::WRITE])?, Record::default());
    event_loop.requires_readiness()?;
    let (near, mut far) = pair()?;
    let op = |code| at_its_position(code, fd(&near));
    let reads = [
        submit(&event_loop, op(OpCode::READ), Memory::buffer([0; 1]))?,
        submit(&event_loop, op(OpCode::READ), Memory::buffer([0; 1]))?,
    ];
    event_loop.turn()?;
    event_loop.add_reader(fd(&near), record.repeat("reader"))?;
    let write = submit(&event_loop, op(OpCode::WRITE), Memory::buffer(*b"abc"))?;
    equal("the result of the write", write.finish(&event_loop)?, 3)?;
    equal("bytes that came", far.read(&mut [0; 8])?, 3)?;
    record.expect([])?;
    far.write_all(b"xyz")?;
    for read in &reads {
        equal("the result of a read", read.finish(&event_loop)?, 1)?;
    }
    event_loop.turns_until("the reader, for there is more to read", || !record.is_empty())?;
    ensure!(event_loop.remove_reader(fd(&near))?, "remove_reader: expected true");
    Ok(Passed)
}

fn many(bench: &LoopBench<'_>) -> Verdict {
    const OPERATIONS: usize = 3000;
    let event_loop = event_loop_with(bench, &[OpCode::NOP, OpCode::RECV, OpCode::SEND])?;
    let (near, far) = pair()?;
    let op = |code, fd| Op::new(code, fd);
    let one =
        |code: OpCode, stream: &UnixStream| submit(&event_loop, op(code, fd(stream)), Memory::buffer([7]));
    // Few descriptors and many operations on them: half of them wait.
    let received: Vec<_> = (0..50).map(|_| one(OpCode::RECV, &near)).collect::<Result<_, _>>()?;
    let nothing: Vec<_> = (0..OPERATIONS)
        .map(|_| submit(&event_loop, op(OpCode::NOP, -1), Memory::none()))
        .collect::<Result<_, _>>()?;
    let sent: Vec<_> = (0..50).map(|_| one(OpCode::SEND, &far)).collect::<Result<_, _>>()?;
    let polls: Vec<_> = (0..OPERATIONS)
        .map(|_| {
            let op = Op { arg32: Interest::WRITE.0, ..op(OpCode::POLL, fd(&far)) };
            submit(&event_loop, op, Memory::none())
        })
        .collect::<Result<_, _>>()?;
    let all = || received.iter().chain(&nothing).chain(&sent).chain(&polls);
    event_loop.turns_until("all events", || all().all(|submitted| submitted.has_ended()))?;
    event_loop.turn()?;
    for (submitted, expected) in received.iter().chain(&sent).map(|submitted| (submitted, 1)) {
        equal("the result", submitted.only_event()?.result, expected)?;
    }
    for submitted in &nothing {
        equal("the result of nothing", submitted.only_event()?.result, 0)?;
    }
    for submitted in &polls {
        equal("what it is ready for", submitted.only_event()?.result, 2)?;
    }
    Ok(Passed)
}
