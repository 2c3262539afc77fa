//! `echo-server` with clients that behave, and others.

use std::{
    env,
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    thread,
};

use loophost_tests::{eventually, program};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::{
    each_loop::{Loop, on_each_loop},
    server::Server,
};

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

#[test]
fn very_many_idle_connections_are_heard() {
    // poll(2) takes its time for ten thousand.
    let wanted = if env::var_os("LOOPHOST_FULL").is_some() { 10_000 } else { 2_000 };
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    let all = usize::try_from(most.saturating_sub(500)).unwrap().min(wanted);
    on_each_loop(|on| {
        let server = start(on);
        let mut idle: Vec<_> =
            (0..all.min(on.room())).map(|_| TcpStream::connect(server.address).unwrap()).collect();
        for batch in idle.chunks_mut(500) {
            batch.iter_mut().for_each(|stream| stream.write_all(b"x").unwrap());
            batch.iter_mut().rev().for_each(|stream| stream.read_exact(&mut [0]).unwrap());
        }
        assert!(server.descriptors() > idle.len());
        drop(idle);
        eventually("the last descriptor", || (server.descriptors() < 50).then_some(()));
        stop(server);
    });
}
