//! io_uring alone (Linux 6.1), in two ways: a poll that goes on for each connection and recv(2) when it tells of something, or
//! an operation that receives into a buffer of the connection's. Both answer by send(2).

use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use io_uring::{IoUring, cqueue, opcode, squeue::Entry, types::Fd};

use super::{BUFFER, http_answer};
use crate::case::Protocol;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Poll,
    Receive,
}

const ACCEPT: u64 = u64::MAX;

/// Never dropped before its last completion: the service is killed.
struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// Whether this kernel has it, and allows it.
pub(super) fn works() -> bool {
    ring().is_ok()
}

fn ring() -> io::Result<IoUring> {
    IoUring::builder().setup_single_issuer().setup_defer_taskrun().setup_cqsize(8192).build(1024)
}

pub(super) fn serve(listener: &TcpListener, way: Way, protocol: Protocol, size: usize) -> io::Result<()> {
    let mut ring = ring()?;
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    push(&mut ring, opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).flags(flags).build(), ACCEPT)?;
    let (mut connections, mut common) = (Vec::<Connection>::new(), vec![0; BUFFER]);
    let answer = http_answer(size);
    loop {
        ring.submit_and_wait(1)?;
        let completions: Vec<cqueue::Entry> = ring.completion().collect();
        for completion in completions {
            let (data, result) = (completion.user_data(), completion.result());
            if data == ACCEPT {
                if result < 0 {
                    return Err(io::Error::from_raw_os_error(-result));
                }
                // SAFETY: the kernel has just made it, and nobody else knows of it.
                let stream = TcpStream::from(unsafe { OwnedFd::from_raw_fd(result) });
                stream.set_nodelay(true)?;
                let buffer = if way == Way::Receive { vec![0; BUFFER] } else { Vec::new() };
                connections.push(Connection { stream, buffer });
                let index = connections.len() - 1;
                let entry = wait_for(&mut connections[index], way);
                push(&mut ring, entry, index as u64)?;
                continue;
            }
            let connection = &mut connections[data as usize];
            let received = match way {
                // As an async program has it: what comes goes into the buffer of who reads.
                Way::Receive if result > 0 => {
                    let received = result as usize;
                    common[..received].copy_from_slice(&connection.buffer[..received]);
                    received
                }
                Way::Poll => match connection.stream.read(&mut common) {
                    Ok(received @ 1..) => received,
                    _ => continue,
                },
                Way::Receive => continue,
            };
            connection.stream.write_all(match protocol {
                Protocol::Echo => &common[..received],
                // A request comes in one piece.
                Protocol::Http => &answer,
            })?;
            if way == Way::Receive {
                let entry = wait_for(connection, way);
                push(&mut ring, entry, data)?;
            }
        }
    }
}

fn wait_for(connection: &mut Connection, way: Way) -> Entry {
    let fd = Fd(connection.stream.as_raw_fd());
    match way {
        Way::Poll => opcode::PollAdd::new(fd, (libc::POLLIN | libc::POLLRDHUP) as u32).multi(true).build(),
        Way::Receive => opcode::Recv::new(fd, connection.buffer.as_mut_ptr(), BUFFER as u32).build(),
    }
}

fn push(ring: &mut IoUring, entry: Entry, data: u64) -> io::Result<()> {
    let entry = entry.user_data(data);
    // SAFETY: it points to nothing, or to the buffer of a connection, which stays until the process ends.
    while unsafe { ring.submission().push(&entry) }.is_err() {
        ring.submit()?;
    }
    Ok(())
}
