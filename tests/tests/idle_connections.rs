//! `echo-server` with very many clients. All of them are in this process, where loops on select(2) have no room beside them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    env,
    io::{Read, Write},
    net::TcpStream,
};

use loophost_tests::{Server, eventually, on_each_loop, program};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

#[test]
fn very_many_idle_connections_are_heard() {
    // poll(2) takes its time for ten thousand.
    let wanted = if env::var_os("LOOPHOST_FULL").is_some() { 10_000 } else { 2_000 };
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    let all = usize::try_from(most.saturating_sub(500)).unwrap().min(wanted);
    on_each_loop(|on| {
        let server = Server::start(on, program("echo-server"), "listening on ");
        let mut idle: Vec<_> =
            (0..all.min(on.room())).map(|_| TcpStream::connect(server.address).unwrap()).collect();
        for batch in idle.chunks_mut(500) {
            batch.iter_mut().for_each(|stream| stream.write_all(b"x").unwrap());
            batch.iter_mut().rev().for_each(|stream| stream.read_exact(&mut [0]).unwrap());
        }
        assert!(server.descriptors() > idle.len());
        drop(idle);
        eventually("the last descriptor", || (server.descriptors() < 50).then_some(()));
        assert_eq!(server.stop().code(), 0);
    });
}
