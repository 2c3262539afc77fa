//! The services: echo sends back what it receives; HTTP answers each request with the same body.

mod on_epoll;
mod on_loophost;
mod on_tokio;

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
};

use http_body_util::Full;
use hyper::body::Bytes;

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
    let without_file = ["epoll", "tokio", "default"].map(|name| Service { name, file: PathBuf::new() });
    // select(2) is no match for so many connections.
    let plugins = loophost_tests::loop_plugins().into_iter().filter(|plugin| plugin.name != "c-policy");
    let plugins = plugins.map(|plugin| Service { name: plugin.name, file: plugin.file });
    without_file.into_iter().chain(plugins).collect()
}

/// Prints its port and serves until it is killed.
pub(crate) fn serve(name: &str, file: &Path, protocol: Protocol, size: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there are free ports");
    listener.set_nonblocking(true).expect("it is a socket");
    println!("{}", listener.local_addr().expect("it is bound").port());
    match name {
        "epoll" => on_epoll::serve(&listener, protocol, size),
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
