//! What recvmsg and sendmsg are about, beside the submitter's memory.

use std::{mem, ptr};

use libc::{iovec, msghdr};
use loophost_base_loop::Operation;

/// A `msghdr` with one part. The kernel reads and writes it: it stays where it is.
pub(crate) struct Message {
    header: msghdr,
    part: iovec,
}

// SAFETY: it points to itself and to the memory of an operation, which may go to other threads.
unsafe impl Send for Message {}

impl Message {
    pub(crate) fn empty() -> Self {
        // SAFETY: all-zero is a valid `msghdr`: no address, no parts.
        let header = unsafe { mem::zeroed() };
        Self { header, part: iovec { iov_base: ptr::null_mut(), iov_len: 0 } }
    }

    /// Describes the buffer and the address of an operation.
    pub(crate) fn describe(&mut self, operation: &Operation, len: u32) -> *mut msghdr {
        self.part = iovec { iov_base: operation.ptr, iov_len: len as usize };
        self.header.msg_iov = &raw mut self.part;
        self.header.msg_iovlen = 1;
        self.header.msg_name = operation.addr;
        self.header.msg_namelen = operation.addr_len;
        &raw mut self.header
    }

    /// The length of the sender's address.
    pub(crate) fn address_len(&self) -> u64 {
        self.header.msg_namelen.into()
    }
}
