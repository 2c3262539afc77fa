//! All clients, in one thread, on epoll.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
};

use crate::case::{Case, Protocol};

const HTTP_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Each has one request under way and sends the next when the answer is complete.
pub(crate) struct Clients {
    epoll: Epoll,
    connections: Vec<Connection>,
    request: Vec<u8>,
    /// As large as an answer.
    buffer: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    received: usize,
}

impl Clients {
    pub(crate) fn connect(port: u16, case: Case) -> Self {
        let (request, answer) = match case.protocol {
            Protocol::Echo => (vec![7; case.size], case.size),
            Protocol::Http => (HTTP_REQUEST.to_vec(), length_of_http_answer(port, case.size)),
        };
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("epoll works");
        let connect = |index| {
            let stream = TcpStream::connect(("127.0.0.1", port)).expect("the service listens");
            stream.set_nodelay(true).expect("it is TCP");
            stream.set_nonblocking(true).expect("it is a socket");
            epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, index)).expect("it can be watched");
            Connection { stream, received: 0 }
        };
        let connections = (0..case.connections as u64).map(connect).collect();
        Self { epoll, connections, request, buffer: vec![0; answer] }
    }

    /// Sends so many requests and waits for the answers; returns how long that took.
    pub(crate) fn request(&mut self, count: u64) -> Duration {
        let start = Instant::now();
        let (mut sent, mut answered) = (0, 0);
        let mut events = vec![EpollEvent::empty(); 256];
        for connection in self.connections.iter_mut().take(count as usize) {
            connection.send(&self.request);
            sent += 1;
        }
        while answered < count {
            let ready = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                result => result.expect("epoll works"),
            };
            for event in &events[..ready] {
                let connection = &mut self.connections[event.data() as usize];
                if !connection.receive(&mut self.buffer) {
                    continue;
                }
                answered += 1;
                if sent < count {
                    connection.send(&self.request);
                    sent += 1;
                }
            }
        }
        start.elapsed()
    }
}

impl Connection {
    fn send(&mut self, request: &[u8]) {
        self.received = 0;
        // An empty socket has room for one request.
        self.stream.write_all(request).expect("the service takes it");
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

/// The head is the same in all of them, but for the time.
fn length_of_http_answer(port: u16, body: usize) -> usize {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the service listens");
    stream.write_all(HTTP_REQUEST).expect("the service takes it");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the service answers");
        head.extend(byte);
    }
    head.len() + body
}
