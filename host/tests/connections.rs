//! Very many connections, at a time and one after the other, and too few descriptors for them; on each loop. One after the
//! other in the main thread, for this is about all that the process holds. `LOOPHOST_FULL=1` for a million.

#![allow(clippy::unwrap_used, reason = "tests")]

mod every_loop;
mod main_thread;
mod util;

use std::{env, io, net, time::Duration};

use every_loop::{repeat as on_the_loops_of_each_plugin, run};
use futures_lite::{AsyncReadExt, AsyncWriteExt, future};
use loophost::{
    net::{TcpListener, TcpStream},
    policy, spawn,
    time::sleep,
};
use nix::errno::Errno;
use rustix::net::{AddressFamily, SocketType, connect as start_connecting, socket};
use util::{Exhausted, Holdings, allow_many_descriptors, resident_kib, wait_until};

main_thread_tests![
    on_the_loops_of_each_plugin,
    accepting_without_descriptors_recovers,
    very_many_idle_connections,
    very_many_short_connections,
];

const LOCAL: &str = "127.0.0.1:0";
/// What the allocator may make of it: with a hundred thousand connections ten bytes for each.
const SLACK_KIB: u64 = 1024;
/// Not more than this wait to be accepted: the system has room for a few.
const BATCH: usize = 50;

fn accepting_without_descriptors_recovers() {
    run(async {
        let listener = TcpListener::bind(LOCAL).await?;
        let address = listener.local_addr()?;
        let connect = || net::TcpStream::connect(address);
        let mut before = TcpStream::try_from(connect()?)?;
        let (mut there, _) = listener.accept().await?;
        // One comes when somebody waits already, the others before anybody asks.
        let late = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        let mut waiting = Box::pin(listener.accept());
        assert!(future::poll_once(&mut waiting).await.is_none());
        let full = Exhausted::new(0);
        start_connecting(&late, &address)?;
        let is_out = |error: &io::Error| error.raw_os_error() == Some(Errno::EMFILE as i32);
        assert!(is_out(&waiting.await.unwrap_err()));
        assert!(is_out(&listener.accept().await.unwrap_err()), "again at once");
        // All else goes on.
        sleep(Duration::from_millis(1)).await;
        before.write_all(b"x").await?;
        there.read_exact(&mut [0]).await?;
        drop(full);
        let clients = [connect()?, connect()?];
        for client in [late.into()].into_iter().chain(clients) {
            let (stream, peer) = listener.accept().await?;
            assert_eq!(peer, client.local_addr()?);
            drop(stream);
        }
        io::Result::Ok(())
    })
    .unwrap()
    .unwrap();
}

fn is_full() -> bool {
    env::var_os("LOOPHOST_FULL").is_some()
}

/// Sends back what comes.
async fn echo(stream: TcpStream) -> io::Result<()> {
    let (mut reader, mut writer) = (&stream, &stream);
    futures_lite::io::copy(&mut reader, &mut writer).await.map(drop)
}

async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        drop(spawn(echo(listener.accept().await?.0)));
    }
}

fn very_many_idle_connections() {
    let room = allow_many_descriptors();
    run(async {
        // select(2) knows descriptors below 1024 only.
        let is_select = policy::get_running_loop().unwrap().name() == "SelectEventLoop";
        let room = if is_select { room.min(1024) } else { room };
        // poll(2) takes its time for ten thousand.
        let wanted = if is_full() { 10_000 } else { 2_000 };
        let count = (room.saturating_sub(100) / 2).min(wanted);
        let listener = TcpListener::bind(LOCAL).await?;
        let address = listener.local_addr()?;
        let server = spawn(serve(listener));
        let mut idle = Vec::new();
        while idle.len() < count {
            let streams = (0..BATCH.min(count - idle.len())).map(|_| TcpStream::connect_to(address));
            for stream in streams {
                idle.push(stream.await?);
            }
        }
        // Each of them is heard, in whatever order.
        for batch in idle.chunks(BATCH) {
            for mut stream in batch {
                stream.write_all(b"x").await?;
            }
            for mut stream in batch.iter().rev() {
                stream.read_exact(&mut [0]).await?;
            }
        }
        assert!(!server.is_finished());
        io::Result::Ok(())
    })
    .unwrap()
    .unwrap();
}

fn very_many_short_connections() {
    let all = if is_full() { 1_000_000 } else { 3_000 };
    // What is made once, and what the allocator keeps.
    converse(1_000);
    let (held, resident) = (Holdings::now(), resident_kib());
    converse(all);
    wait_until("nothing is left", || Holdings::now().are_within(&held));
    let grown = resident_kib().saturating_sub(resident);
    assert!(grown <= SLACK_KIB, "{grown} KiB more after {all} connections");
}

/// So many connections with a few words each, some of them at a time.
fn converse(all: usize) {
    run(async {
        let listener = TcpListener::bind(LOCAL).await?;
        let address = listener.local_addr()?;
        let server = spawn(serve(listener));
        let clients: Vec<_> = (0..BATCH)
            .map(|first| {
                spawn(async move {
                    for n in (first..all).step_by(BATCH) {
                        let mut stream = TcpStream::connect_to(address).await?;
                        let words = n.to_ne_bytes();
                        stream.write_all(&words).await?;
                        stream.close().await?;
                        let mut back = Vec::new();
                        stream.read_to_end(&mut back).await?;
                        assert_eq!(back, words);
                    }
                    io::Result::Ok(())
                })
            })
            .collect();
        for client in clients {
            client.await.unwrap()?;
        }
        assert!(!server.is_finished());
        io::Result::Ok(())
    })
    .unwrap()
    .unwrap();
}
