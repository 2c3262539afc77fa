//! Real servers: they start, serve a request and stop, on each policy and watcher.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    ffi::OsString,
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
};

use loophost_tests::{Plugins, Setup, Started, eventually, loophost, proc, require};
use nix::sys::signal::Signal;
use tempfile::TempDir;

/// A port that nobody listens on now.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A server that answers.
struct Server {
    started: Started,
}

impl Server {
    /// Starts a server on a free port. Another program may take the port before the server does: then it is another
    /// port's turn, unless the server was not even listening.
    fn start(setup: &Setup, answers: impl Fn(u16) -> bool, command: impl Fn(u16) -> Vec<OsString>) -> Self {
        eventually("a server that answers", || {
            let port = free_port();
            let started = Started::new(loophost(setup.run(command(port))));
            let is_up = eventually("an answer or an end", || match started.ended() {
                Some(_) => Some(false),
                None => answers(port).then_some(true),
            });
            if !is_up {
                let ended = started.wait();
                let all = format!("{}{}", ended.stdout, ended.stderr);
                assert!(all.contains("ddress already in use"), "{setup:?}: {} {all}", ended.status);
            }
            is_up.then_some(Self { started })
        })
    }

    /// Sends a signal to loophost and waits for the end, which must be a good one.
    fn stop(self, setup: &Setup, signal: Signal) {
        self.started.signal(signal);
        let ended = self.started.wait();
        assert_eq!(ended.status.code(), Some(0), "{setup:?} {signal}: {}{}", ended.stdout, ended.stderr);
        let group = self.started.pid();
        let left: Vec<_> =
            proc::all().into_iter().filter(|stat| stat.group == group && stat.pid != group).collect();
        assert_eq!(left, [], "{setup:?} {signal}");
    }
}

/// Sends a request and reads until the answer has this in it; `None` if nobody listens.
fn ask(port: u16, request: &[u8], answer: &str) -> Option<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.write_all(request).ok()?;
    let mut text = Vec::new();
    let mut buffer = [0; 1024];
    while !String::from_utf8_lossy(&text).contains(answer) {
        match stream.read(&mut buffer).ok()? {
            0 => return None,
            count => text.extend_from_slice(&buffer[..count]),
        }
    }
    Some(())
}

#[test]
fn redis_serves_and_stops() {
    let Some(redis) = require("redis-server") else { return };
    let plugins = Plugins::new();
    for setup in plugins.setups() {
        let folder = TempDir::new().unwrap();
        let command = |port: u16| -> Vec<OsString> {
            let port = port.to_string();
            let options =
                ["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no", "--dir"];
            let options = options.map(Into::into).into_iter().chain([folder.path().into()]);
            std::iter::once(redis.clone().into()).chain(options).collect()
        };
        let answers = |port| ask(port, b"PING\r\n", "+PONG\r\n").is_some();
        Server::start(&setup, answers, command).stop(&setup, Signal::SIGTERM);
    }
}

/// A configuration that touches nothing outside the folder.
fn nginx_configuration(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!(
        "pid {folder}/pid;
error_log stderr;
worker_processes 1;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 200 \"served by nginx\\n\"; }}
    }}
}}
"
    )
}

#[test]
fn nginx_serves_and_stops() {
    let Some(nginx) = require("nginx") else { return };
    let plugins = Plugins::new();
    for setup in plugins.setups() {
        for signal in [Signal::SIGQUIT, Signal::SIGTERM] {
            let folder = TempDir::new().unwrap();
            let configuration = folder.path().join("nginx.conf");
            let command = |port| -> Vec<OsString> {
                fs::write(&configuration, nginx_configuration(folder.path(), port)).unwrap();
                let options = ["-e", "stderr", "-g", "daemon off;", "-p"].map(Into::into);
                let files = [folder.path().into(), "-c".into(), configuration.clone().into()];
                std::iter::once(nginx.clone().into()).chain(options).chain(files).collect()
            };
            let answers = |port| ask(port, b"GET / HTTP/1.0\r\n\r\n", "served by nginx\n").is_some();
            Server::start(&setup, answers, command).stop(&setup, signal);
        }
    }
}
