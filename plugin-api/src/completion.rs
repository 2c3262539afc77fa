//! The operations of [`EventLoop::submit`](crate::EventLoop::submit): what is asked of a completion loop (asyncio:
//! a proactor), and of any other one that can emulate it.

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
    /// [`Op::MULTISHOT`] or 0; an unknown bit is `NotSupported`.
    pub flags: u32,
    /// The descriptor it works on, or −1. It stays open until the final event; one descriptor may have several operations,
    /// and readers and writers, at the same time.
    pub fd: Fd,
    /// The buffer, or an array of [`IoVec`].
    pub ptr: *mut c_void,
    /// Bytes in the buffer, or entries of the array.
    pub len: u64,
    /// A `sockaddr_storage`, for accept, recvfrom, sendto and connect.
    pub addr: *mut c_void,
    /// Bytes at `addr`.
    pub addr_len: u32,
    /// An argument of 32 bits: the `MSG_` flags of recv and send, the bits of [`Interest`](crate::Interest) of poll.
    pub arg32: u32,
    /// A file offset, or a time in nanoseconds.
    pub offset: u64,
    /// Reserved for operations to come; 0.
    pub args: [u64; 3],
}

impl Op {
    /// More than one event is wanted, until it is cancelled or fails; all but the last carry
    /// [`Event::MORE`](crate::Event::MORE). For accept and poll.
    pub const MULTISHOT: u32 = 1;
    /// As [`offset`](Self::offset) of a read or write: where the descriptor stands; the only one that streams have.
    pub const CURRENT_POSITION: u64 = u64::MAX;

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

/// The operations. New ones are new codes; an unknown code is `NotSupported`, and so is one that sets a field which it
/// does not have. Codes from 2³¹ on are plugins' own: one may mean something else in another plugin's loop, so who submits
/// it knows the loop, by its name or an extension.
///
/// Each ends with one event whose `result` is what the system call of that name returns, or −errno; −`ECANCELED` if
/// it was cancelled before it had an effect, or the thread that began it has ended. None blocks the loop, whether or not
/// the descriptor would block. Two on the same descriptor and in the same direction have no order between them.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OpCode(pub u32);

impl OpCode {
    /// Nothing; its event comes in a later turn.
    pub const NOP: Self = Self(0);
    /// read(2) into `ptr` and `len`, at `offset`. Regular files, and any other offset than [`Op::CURRENT_POSITION`], may be
    /// `NotSupported`.
    pub const READ: Self = Self(1);
    /// write(2) of `ptr` and `len`, at `offset`, as [`READ`](Self::READ). It may take less than a blocking write(2) does, and
    /// as there a closed peer is a `SIGPIPE`.
    pub const WRITE: Self = Self(2);
    /// As [`READ`](Self::READ), readv(2): `ptr` is an array of `len` [`IoVec`], 1024 at the most.
    pub const READV: Self = Self(3);
    /// As [`WRITE`](Self::WRITE), writev(2): `ptr` as for [`READV`](Self::READV).
    pub const WRITEV: Self = Self(4);
    /// recv(2) into `ptr` and `len`, with the flags in `arg32`. Those about waiting (`MSG_DONTWAIT`, `MSG_WAITALL`) are
    /// `NotSupported`.
    pub const RECV: Self = Self(5);
    /// send(2) of `ptr` and `len`, with the flags in `arg32`; a closed peer is `EPIPE`, never a signal.
    pub const SEND: Self = Self(6);
    /// As [`RECV`](Self::RECV), with the sender's address in `addr` (room for `addr_len` bytes); the event's `aux` is
    /// the length of the address.
    pub const RECVFROM: Self = Self(7);
    /// As [`SEND`](Self::SEND), to the address in `addr` and `addr_len`.
    pub const SENDTO: Self = Self(8);
    /// accept4(2): a descriptor, close-on-exec and non-blocking, which is the callback's. It is delivered also if the
    /// operation was cancelled or the loop closed meanwhile. `addr` and `addr_len` as for [`RECVFROM`](Self::RECVFROM), or null; null if [`Op::MULTISHOT`].
    pub const ACCEPT: Self = Self(9);
    /// connect(2) to the address in `addr` and `addr_len`.
    pub const CONNECT: Self = Self(10);
    /// Waits until the descriptor is ready for something of the [`Interest`](crate::Interest) in `arg32`; the result is
    /// what for. With [`Op::MULTISHOT`] there is an event each time that it becomes ready, and perhaps more while it is.
    pub const POLL: Self = Self(11);
    /// Waits until the process of a pidfd has exited, and leaves its status where it is; 0.
    pub const WAIT_PROCESS: Self = Self(12);
    /// Waits until the loop's clock has reached `offset` nanoseconds; 0.
    pub const TIMEOUT: Self = Self(13);
    /// close(2).
    pub const CLOSE: Self = Self(14);
}

/// One part of a vectored operation, as `iovec` with a fixed width.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct IoVec {
    /// Where it begins.
    pub ptr: *mut c_void,
    /// Bytes.
    pub len: u64,
}
