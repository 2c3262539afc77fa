//! The least that there can be: no tasks, level-triggered, one buffer for all.

use std::{
    collections::HashMap,
    io::{self, ErrorKind, Read, Write},
    net::TcpListener,
};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::{BUFFER, http_answer};
use crate::case::Protocol;

pub(super) fn serve(listener: &TcpListener, protocol: Protocol, size: usize) -> io::Result<()> {
    const LISTENER: u64 = u64::MAX;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    let (mut streams, mut accepted) = (HashMap::new(), 0);
    let (mut events, mut buffer) = (vec![EpollEvent::empty(); 1024], vec![0; BUFFER]);
    let answer = http_answer(size);
    loop {
        let ready = epoll.wait(&mut events, EpollTimeout::NONE)?;
        for event in &events[..ready] {
            if event.data() == LISTENER {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, accepted))?;
                streams.insert(accepted, stream);
                accepted += 1;
                continue;
            }
            let Some(stream) = streams.get_mut(&event.data()) else { continue };
            match stream.read(&mut buffer) {
                // Its socket has room for one answer, and has sent the one before.
                Ok(read @ 1..) => match protocol {
                    Protocol::Echo => stream.write_all(&buffer[..read])?,
                    // A request comes in one piece.
                    Protocol::Http => stream.write_all(&answer)?,
                },
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Ok(_) | Err(_) => drop(streams.remove(&event.data())),
            }
        }
    }
}
