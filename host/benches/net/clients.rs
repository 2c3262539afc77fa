//! All clients, in one thread, on epoll.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// Each has one request under way and sends the next when the answer is complete.
pub(crate) struct Clients {
    epoll: Epoll,
    connections: Vec<Connection>,
    message: Vec<u8>,
    buffer: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    received: usize,
}

impl Clients {
    pub(crate) fn connect(port: u16, size: usize, connections: usize) -> Self {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("epoll works");
        let connect = |index| {
            let stream = TcpStream::connect(("127.0.0.1", port)).expect("the service listens");
            stream.set_nodelay(true).expect("it is TCP");
            stream.set_nonblocking(true).expect("it is a socket");
            epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, index)).expect("it can be watched");
            Connection { stream, received: 0 }
        };
        let connections = (0..connections as u64).map(connect).collect();
        Self { epoll, connections, message: vec![7; size], buffer: vec![0; size] }
    }

    /// Sends so many requests and waits for the answers; returns how long that took.
    pub(crate) fn request(&mut self, count: u64) -> Duration {
        let start = Instant::now();
        let (mut sent, mut answered) = (0, 0);
        let mut events = vec![EpollEvent::empty(); 256];
        for connection in self.connections.iter_mut().take(count as usize) {
            connection.send(&self.message);
            sent += 1;
        }
        while answered < count {
            let ready = self.epoll.wait(&mut events, EpollTimeout::NONE).expect("epoll works");
            for event in &events[..ready] {
                let connection = &mut self.connections[event.data() as usize];
                if !connection.receive(&mut self.buffer) {
                    continue;
                }
                answered += 1;
                if sent < count {
                    connection.send(&self.message);
                    sent += 1;
                }
            }
        }
        start.elapsed()
    }
}

impl Connection {
    fn send(&mut self, message: &[u8]) {
        self.received = 0;
        // An empty socket has room for one message.
        self.stream.write_all(message).expect("the service takes it");
    }

    /// Whether the answer is complete.
    fn receive(&mut self, buffer: &mut [u8]) -> bool {
        match self.stream.read(&mut buffer[self.received..]) {
            Ok(0) => panic!("the service has closed a connection"),
            Ok(read) => self.received += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("the service is gone: {error}"),
        }
        self.received == buffer.len()
    }
}
