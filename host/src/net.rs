//! Sockets, on the loop that runs where they are waited for.
//!
//! They have the shape of those in [`std::net`] and [`std::os::unix::net`], and the traits of futures-io, each also on a
//! shared reference, so that one task may read while another one writes.
//!
//! # Cancelling
//! Every future here may be dropped before it is ready: what was not told has not happened. Nothing is read, accepted or
//! sent that gets lost; only `connect` leaves a connection behind, which is closed.
//!
//! # Panics
//! None; polled where no loop runs they fail.

mod connect;
mod resolve;
mod stream;
mod tcp_listener;
mod tcp_stream;
mod udp_socket;
mod unix_listener;
mod unix_stream;

pub use tcp_listener::TcpListener;
pub use tcp_stream::TcpStream;
pub use udp_socket::UdpSocket;
pub use unix_listener::UnixListener;
pub use unix_stream::UnixStream;
