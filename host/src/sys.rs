//! The door to the operating system: one file per noun below it.

pub(crate) mod auxv;
#[cfg(feature = "async")]
pub(crate) mod borrowed_future;
pub(crate) mod descriptor_helper;
pub(crate) mod epoll;
pub(crate) mod epoll_helper;
#[cfg(feature = "testing")]
pub(crate) mod foreign_handler;
pub(crate) mod fork_mark;
pub(crate) mod forked_helper;
pub(crate) mod io_uring_helper;
pub(crate) mod kill;
pub(crate) mod mapped_file;
pub(crate) mod per_process;
pub(crate) mod pidfd;
pub(crate) mod pidfd_helper;
pub(crate) mod seccomp;
pub(crate) mod signal_arrival;
pub(crate) mod signal_handler;
pub(crate) mod signal_set;
pub(crate) mod signalfd;
#[cfg(feature = "testing")]
pub(crate) mod socket;
pub(crate) mod spawn;
pub(crate) mod thread;
pub(crate) mod thread_helper;
pub(crate) mod wait;
mod wait4;
pub(crate) mod wait_helper;
