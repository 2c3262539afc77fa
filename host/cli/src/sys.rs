//! The door to the operating system.

pub(crate) mod exit;
pub(crate) mod libc_version;
pub(crate) mod memory;
pub(crate) mod read_now;
pub(crate) mod signals;
pub(crate) mod startup;
