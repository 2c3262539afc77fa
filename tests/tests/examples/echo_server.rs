//! `echo-server` with clients that behave, and others.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    thread,
};

use loophost_tests::{Loop, Server, eventually, on_each_loop, program};

fn start(on: &Loop) -> Server {
    Server::start(on, program("echo-server"), "listening on ")
}

/// SIGTERM is its good end.
fn stop(server: Server) {
    assert_eq!(server.stop().code(), 0);
}

#[test]
fn what_comes_back_is_what_was_sent() {
    on_each_loop(|on| {
        let server = start(on);
        let clients = (0..8u8).map(|n| {
            let mut stream = TcpStream::connect(server.address).unwrap();
            thread::spawn(move || {
                let sent: Vec<u8> = (0..4 << 20).map(|at: usize| (at * 7 + at / 251) as u8 ^ n).collect();
                let mut writer = stream.try_clone().unwrap();
                let (back, sent) = thread::scope(|scope| {
                    scope.spawn(|| {
                        writer.write_all(&sent).unwrap();
                        writer.shutdown(Shutdown::Write).unwrap();
                    });
                    let mut back = Vec::new();
                    stream.read_to_end(&mut back).unwrap();
                    (back, &sent)
                });
                assert!(back == *sent);
            })
        });
        let clients: Vec<_> = clients.collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
        stop(server);
    });
}

#[test]
fn clients_that_reset_or_say_nothing_leave_nothing_behind() {
    on_each_loop(|on| {
        let server = start(on);
        let mut witness = TcpStream::connect(server.address).unwrap();
        let mut echo = |byte| {
            witness.write_all(&[byte]).unwrap();
            let mut back = [0];
            witness.read_exact(&mut back).unwrap();
            assert_eq!(back, [byte]);
        };
        echo(0);
        let before = server.descriptors();
        for n in 1..=50u8 {
            // Closed with data unread, TCP resets.
            let mut rude = TcpStream::connect(server.address).unwrap();
            rude.write_all(&[n; 1 << 15]).unwrap();
            rude.peek(&mut [0]).unwrap();
            drop(rude);
            drop(TcpStream::connect(server.address).unwrap());
            echo(n);
        }
        eventually("the last descriptor", || (server.descriptors() == before).then_some(()));
        stop(server);
    });
}
