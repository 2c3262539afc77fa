//! The door to the operating system: the ring's queues, an eventfd, pidfds, and a helper process.

pub(crate) mod helper;
pub(crate) mod message;
pub(crate) mod pidfd;
pub(crate) mod queues;
