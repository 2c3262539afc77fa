//! Descriptors in async code.
//!
//! [`Async`] makes a future of whatever a descriptor is waited for; the types of [`net`](crate::net) are built on it. A
//! call is tried first, and only if it would block the loop is asked to say when it no longer does.

mod asynchronous;
mod source;

pub use asynchronous::Async;
