//! The door that `selector` expects in its crate.

#[path = "../../../src/sys/epoll.rs"]
pub(crate) mod epoll;
