//! Operations for completion loops. No loop implements them yet: `submit` answers `NotSupported`.

use std::{ffi::c_void, ptr};

use abi_stable::StableAbi;

use crate::Fd;

/// One operation, laid out like a submission entry. Everything it points to stays alive inside the callback
/// that it is submitted with.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct Op {
    /// Which operation: [`OpCode`].
    pub code: OpCode,
    /// Bits of the operation; an unknown bit is `NotSupported`.
    pub flags: u32,
    /// The descriptor it works on, or −1.
    pub fd: Fd,
    /// The buffer, or an array of [`IoVec`].
    pub ptr: *mut c_void,
    /// Bytes in the buffer, or entries of the array.
    pub len: u64,
    /// A `sockaddr_storage`, for accept, recvfrom, sendto and connect.
    pub addr: *mut c_void,
    /// Bytes at `addr`.
    pub addr_len: u32,
    /// An argument of 32 bits: flags of recv and send, the events of poll.
    pub arg32: u32,
    /// A file offset, a time in nanoseconds, or a pid.
    pub offset: u64,
    /// Reserved for operations to come; 0.
    pub args: [u64; 3],
}

impl Op {
    /// More than one event is wanted, until it is cancelled.
    pub const MULTISHOT: u32 = 1;

    /// An operation on a descriptor with everything else empty.
    pub const fn new(code: OpCode, fd: Fd) -> Self {
        Self {
            code,
            flags: 0,
            fd,
            ptr: ptr::null_mut(),
            len: 0,
            addr: ptr::null_mut(),
            addr_len: 0,
            arg32: 0,
            offset: 0,
            args: [0; 3],
        }
    }
}

/// The operations. New ones are new codes; an unknown code is `NotSupported`.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OpCode(pub u32);

/// One part of a vectored operation, as `iovec` with a fixed width.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct IoVec {
    /// Where it begins.
    pub ptr: *mut c_void,
    /// Bytes.
    pub len: u64,
}
