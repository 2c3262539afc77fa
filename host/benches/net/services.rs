//! The services: echo sends back what it receives; HTTP answers each request with the same body.

mod on_epoll;
mod on_io_uring;
mod on_loophost;
mod on_tokio;

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
};

use http_body_util::Full;
use hyper::body::Bytes;

use self::on_io_uring::Way;
use crate::case::Protocol;

/// What echo reads at a time.
const BUFFER: usize = 16 * 1024;

pub(crate) struct Service {
    pub(crate) name: &'static str,
    /// The file of its policy; empty for those without.
    pub(crate) file: PathBuf,
}

/// All of them, as far as they work on this machine.
pub(crate) fn all() -> Vec<Service> {
    let by_name = |name| Service { name, file: PathBuf::new() };
    let without_file = ["epoll", "tokio", "default"].map(by_name);
    let on_io_uring = ["ring, poll", "ring, recv"].map(by_name);
    let on_io_uring = on_io_uring.into_iter().filter(|_| on_io_uring::works());
    // select(2) is no match for so many connections.
    let plugins = loophost_tests::loop_plugins().into_iter().filter(|plugin| plugin.name != "c-policy");
    let plugins = plugins.map(|plugin| Service { name: plugin.name, file: plugin.file });
    without_file.into_iter().chain(on_io_uring).chain(plugins).collect()
}

/// Prints its port and serves until it is killed.
pub(crate) fn serve(name: &str, file: &Path, protocol: Protocol, size: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there are free ports");
    listener.set_nonblocking(true).expect("it is a socket");
    println!("{}", listener.local_addr().expect("it is bound").port());
    match name {
        "epoll" => on_epoll::serve(&listener, protocol, size),
        "ring, poll" => on_io_uring::serve(&listener, Way::Poll, protocol, size),
        "ring, recv" => on_io_uring::serve(&listener, Way::Receive, protocol, size),
        "tokio" => on_tokio::serve(listener, protocol, size),
        _ => on_loophost::serve(listener, file, protocol, size),
    }
    .expect("connections are accepted");
}

/// The body of an answer.
fn body(size: usize) -> Bytes {
    vec![7; size].into()
}

/// An answer of hyper's.
fn response(body: &Bytes) -> hyper::Response<Full<Bytes>> {
    hyper::Response::new(Full::new(body.clone()))
}

/// An answer without hyper: the head is as long as its own.
fn http_answer(size: usize) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\ndate: {:29}\r\n\r\n", "today");
    [head.as_bytes(), &body(size)].concat()
}
