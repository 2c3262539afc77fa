//! Connecting, accepting, and messages with addresses.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd,
};

use loophost_plugin_api::{Fd, Op, OpCode};

use super::{
    errno::{ECANCELED, ECONNREFUSED, ECONNRESET},
    event_loop_with,
    submitted::{Memory, accepted, encode, submit},
};
use crate::{
    Case, Verdict,
    event_loop::LoopBench,
    verdict::{Passed, ensure, equal},
};

pub(super) const CASES: &[Case] = &[
    Case::event_loop(
        "loop/op-accept",
        "accept is told a descriptor that does not block, and the address of the other end",
        accept,
    ),
    Case::event_loop(
        "loop/op-accept-multishot",
        "with MULTISHOT one accept tells of every connection, until it is cancelled",
        accept_multishot,
    ),
    Case::event_loop(
        "loop/op-accept-cancelled",
        "no connection is lost by cancelling an accept: it is delivered, or still there",
        accept_cancelled,
    ),
    Case::event_loop("loop/op-connect", "a connect is told 0, or ECONNREFUSED", connect),
    Case::event_loop(
        "loop/op-messages",
        "sendto and recvfrom carry the addresses of the other end",
        messages,
    ),
    Case::event_loop("loop/op-reset", "a peer that resets is ECONNRESET, also in mid-write", reset),
];

fn listener() -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
}

fn fd(socket: &impl AsRawFd) -> Fd {
    socket.as_raw_fd().into()
}

fn accept(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = event_loop_with(bench, &[OpCode::ACCEPT])?;
    let listener = listener()?;
    let op = Op::new(OpCode::ACCEPT, fd(&listener));
    let waits = submit(&event_loop, op, Memory::none().with_address_room())?;
    event_loop.turn()?;
    ensure!(waits.results().is_empty(), "an accept without a connection has ended");
    let client = TcpStream::connect(listener.local_addr()?)?;
    let stream = TcpStream::from(accepted(waits.finish(&event_loop)?)?);
    equal("the other end", stream.peer_addr()?, client.local_addr()?)?;
    let address = encode(client.local_addr()?);
    equal("the length of the address", waits.only_event()?.aux, address.len() as u64)?;
    equal("the address", &waits.address()?[..address.len()], &address[..])?;
    let kind = { &stream }.read(&mut [0; 1]).map_err(|error| error.kind());
    equal("a read of nothing", kind, Err(std::io::ErrorKind::WouldBlock))?;
    // Without an address.
    let client = TcpStream::connect(listener.local_addr()?)?;
    let stream = TcpStream::from(accepted(submit(&event_loop, op, Memory::none())?.finish(&event_loop)?)?);
    equal("the other end", stream.peer_addr()?, client.local_addr()?)?;
    Ok(Passed)
}

fn accept_multishot(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = event_loop_with(bench, &[OpCode::ACCEPT])?;
    let listener = listener()?;
    let op = Op { flags: Op::MULTISHOT, ..Op::new(OpCode::ACCEPT, fd(&listener)) };
    let multishot = submit(&event_loop, op, Memory::none())?;
    let mut streams = Vec::new();
    for round in 1..=3 {
        let clients =
            [TcpStream::connect(listener.local_addr()?)?, TcpStream::connect(listener.local_addr()?)?];
        event_loop.turns_until("two more connections", || multishot.results().len() >= 2 * round)?;
        for result in &multishot.results()[2 * (round - 1)..] {
            streams.push(TcpStream::from(accepted(*result)?));
        }
        equal("connections", streams.len(), 2 * round)?;
        drop(clients);
    }
    ensure!(!multishot.has_ended(), "it has ended without being cancelled");
    ensure!(!multishot.is_dropped(), "its callback was dropped before the final event");
    ensure!(event_loop.cancel_op(multishot.id)?, "cancel_op: expected true");
    event_loop.turns_until("the final event", || multishot.has_ended())?;
    equal("the final event", multishot.results()[6..].to_vec(), [-ECANCELED])?;
    event_loop.turns_until("the drop of the callback", || multishot.is_dropped())?;
    Ok(Passed)
}

fn accept_cancelled(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = event_loop_with(bench, &[OpCode::ACCEPT])?;
    for turns_before in 0..3 {
        let listener = listener()?;
        let op = Op::new(OpCode::ACCEPT, fd(&listener));
        let accept = submit(&event_loop, op, Memory::none())?;
        for _ in 0..turns_before {
            event_loop.turn()?;
        }
        let client = TcpStream::connect(listener.local_addr()?)?;
        // Too late if it has ended: then its result is the descriptor.
        event_loop.cancel_op(accept.id)?;
        let mut result = accept.finish(&event_loop)?;
        if result == -ECANCELED {
            result = submit(&event_loop, op, Memory::none())?.finish(&event_loop)?;
        }
        let stream = TcpStream::from(accepted(result)?);
        equal("the other end", stream.peer_addr()?, client.local_addr()?)?;
    }
    Ok(Passed)
}

fn connect(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = event_loop_with(bench, &[OpCode::CONNECT])?;
    let listener = listener()?;
    let to = listener.local_addr()?;
    // A socket of this kind that is not connected: what the standard library has of them is for datagrams.
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let op = Op::new(OpCode::CONNECT, fd(&socket));
    let connected = submit(&event_loop, op, Memory::none().with_address(to))?;
    equal("the result", connected.finish(&event_loop)?, 0)?;
    equal("the other end", socket.peer_addr()?, to)?;
    let stream = bench.harness.stream_socket()?;
    let op = Op::new(OpCode::CONNECT, fd(&stream));
    let connected = submit(&event_loop, op, Memory::none().with_address(to))?;
    equal("the result", connected.finish(&event_loop)?, 0)?;
    equal("the other end", TcpStream::from(stream).peer_addr()?, to)?;
    drop(listener);
    let stream = bench.harness.stream_socket()?;
    let op = Op::new(OpCode::CONNECT, fd(&stream));
    let connected = submit(&event_loop, op, Memory::none().with_address(to))?;
    equal("the result with nobody there", connected.finish(&event_loop)?, -ECONNREFUSED)?;
    Ok(Passed)
}

fn messages(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = event_loop_with(bench, &[OpCode::RECVFROM, OpCode::SENDTO])?;
    let sockets = [UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?, UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?];
    let receive = submit(
        &event_loop,
        Op::new(OpCode::RECVFROM, fd(&sockets[0])),
        Memory::buffer([0; 8]).with_address_room(),
    )?;
    event_loop.turn()?;
    let send = submit(
        &event_loop,
        Op::new(OpCode::SENDTO, fd(&sockets[1])),
        Memory::buffer(*b"abc").with_address(sockets[0].local_addr()?),
    )?;
    equal("the result of sendto", send.finish(&event_loop)?, 3)?;
    equal("the result of recvfrom", receive.finish(&event_loop)?, 3)?;
    equal("the message", &receive.bytes()?[..3], b"abc")?;
    let sender = encode(sockets[1].local_addr()?);
    equal("the length of the address", receive.only_event()?.aux, sender.len() as u64)?;
    equal("the address", &receive.address()?[..sender.len()], &sender[..])?;
    Ok(Passed)
}

fn reset(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = event_loop_with(bench, &[OpCode::RECV, OpCode::SEND])?;
    let listener = listener()?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    let receive = submit(&event_loop, Op::new(OpCode::RECV, fd(&near)), Memory::buffer([0; 8]))?;
    // As much as both ends take, and then more: the send stays in the middle.
    near.set_nonblocking(true)?;
    while matches!({ &near }.write(&[7; 1 << 16]), Ok(1..)) {}
    near.set_nonblocking(false)?;
    let send = submit(&event_loop, Op::new(OpCode::SEND, fd(&near)), Memory::buffer(vec![7; 1 << 20]))?;
    event_loop.turn()?;
    // Closed with something unread, which TCP tells by a reset.
    drop(far);
    event_loop.turns_until("both ends", || receive.has_ended() && send.has_ended())?;
    let results = [receive.finish(&event_loop)?, send.finish(&event_loop)?];
    // The kernel tells of a reset once; whoever comes second finds a connection that has ended.
    ensure!(results.contains(&-ECONNRESET), "expected ECONNRESET, got {results:?}");
    Ok(Passed)
}
