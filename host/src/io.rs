//! Descriptors in async code.
//!
//! [`Async`] makes a future of whatever a descriptor is waited for; the types of [`net`](crate::net) are built on it. A
//! call is tried first, and only if it would block the loop is asked to say when it no longer does.
//!
//! It is so on completion loops too; nothing is received into buffers of our own. On io_uring a receive as an operation costs
//! what a poll and a recv(2) do for small messages, and half as much again for 16 KiB on a thousand connections, whose buffers
//! no cache holds (`benches/net`: `ring, recv` beside `ring, poll`). So what is dropped while it waits has left no operation
//! behind, and has taken no data.

mod asynchronous;
mod source;

pub use asynchronous::Async;
