//! An operation on its way to a backend.

use std::ops::Deref;

use loophost_plugin_api::{Error, ErrorCode, Interest, Op, OpCode};

/// An [`Op`] whose memory is promised to stay where it is until the operation's final event.
///
/// It comes from [`EventLoop::submit`](loophost_plugin_api::EventLoop::submit), whose caller makes the promise, and it
/// has no flag and no field that its code does not have.
#[derive(Clone, Copy, Debug)]
pub struct Operation(Op);

// SAFETY: what it points to lives inside a callback, which may go to other threads; the promise of `promised` holds
// wherever the operation is.
#[allow(unsafe_code, reason = "the pointers of `Op`")]
unsafe impl Send for Operation {}

impl Deref for Operation {
    type Target = Op;

    fn deref(&self) -> &Op {
        &self.0
    }
}

/// `msg.h`'s flags that say what is sent or received, and nothing of waiting, which is the loop's.
const MESSAGE_FLAGS: i32 = libc::MSG_OOB
    | libc::MSG_PEEK
    | libc::MSG_TRUNC
    | libc::MSG_DONTROUTE
    | libc::MSG_EOR
    | libc::MSG_MORE
    | libc::MSG_CONFIRM
    | libc::MSG_NOSIGNAL;

/// Which fields an operation has.
#[derive(Clone, Copy, Default)]
struct Fields {
    fd: bool,
    buffer: bool,
    address: bool,
    offset: bool,
    /// The bits of `arg32`.
    arg32: u32,
    flags: u32,
}

impl Fields {
    fn of(code: OpCode) -> Option<Self> {
        let on_fd = Self { fd: true, ..Self::default() };
        let message = Self { buffer: true, arg32: MESSAGE_FLAGS as u32, ..on_fd };
        Some(match code {
            OpCode::NOP => Self::default(),
            OpCode::READ | OpCode::WRITE | OpCode::READV | OpCode::WRITEV => {
                Self { buffer: true, offset: true, ..on_fd }
            }
            OpCode::RECV | OpCode::SEND => message,
            OpCode::RECVFROM | OpCode::SENDTO => Self { address: true, ..message },
            OpCode::ACCEPT => Self { address: true, flags: Op::MULTISHOT, ..on_fd },
            OpCode::CONNECT => Self { address: true, ..on_fd },
            OpCode::POLL => Self { arg32: Interest::BOTH.0, flags: Op::MULTISHOT, ..on_fd },
            OpCode::WAIT_PROCESS | OpCode::CLOSE => on_fd,
            OpCode::TIMEOUT => Self { offset: true, ..Self::default() },
            _ => return None,
        })
    }
}

impl Operation {
    /// Takes an operation whose code, flags and fields are known.
    ///
    /// # Errors
    /// `NotSupported`.
    ///
    /// # Safety
    /// Everything that `op` points to stays where it is until the final event.
    #[allow(unsafe_code, reason = "where the promise of `submit` is passed on")]
    pub(crate) unsafe fn promised(op: &Op) -> Result<Self, Error> {
        let code = op.code.0;
        let Some(fields) = Fields::of(op.code) else {
            return Err(not_supported(format!("there is no operation {code}")));
        };
        let is_multishot = op.flags & Op::MULTISHOT != 0;
        if op.flags & !fields.flags != 0 {
            return Err(not_supported(format!("operation {code} has no flags {:#x}", op.flags)));
        }
        let too_many = [
            ("fd", op.fd != -1 && !fields.fd),
            ("ptr and len", (!op.ptr.is_null() || op.len != 0) && !fields.buffer),
            ("addr", !(op.addr.is_null() && op.addr_len == 0) && (!fields.address || is_multishot)),
            ("offset", op.offset != 0 && !fields.offset),
            ("args", op.args != [0; 3]),
        ];
        if let Some((field, _)) = too_many.into_iter().find(|(_, too_many)| *too_many) {
            return Err(not_supported(format!("operation {code} with flags {} has no {field}", op.flags)));
        }
        if op.arg32 & !fields.arg32 != 0 {
            return Err(not_supported(format!("operation {code} has no bits {:#x} in arg32", op.arg32)));
        }
        Ok(Self(*op))
    }

    /// A wait for readiness, which points to nothing.
    pub(crate) fn poll(fd: loophost_plugin_api::Fd, interest: Interest) -> Self {
        Self(Op { arg32: interest.0, ..Op::new(OpCode::POLL, fd) })
    }

    /// One that goes on.
    pub(crate) fn multishot_poll(fd: loophost_plugin_api::Fd, interest: Interest) -> Self {
        Self(Op { flags: Op::MULTISHOT, ..Self::poll(fd, interest).0 })
    }

    /// The descriptor as the system has it; −1, which is none, if it cannot be one.
    pub fn raw_fd(&self) -> i32 {
        i32::try_from(self.0.fd).unwrap_or(-1)
    }

    /// Whether more than one event is wanted.
    pub fn is_multishot(&self) -> bool {
        self.0.flags & Op::MULTISHOT != 0
    }
}

pub(crate) fn not_supported(message: String) -> Error {
    Error::new(ErrorCode::NOT_SUPPORTED, message)
}

#[cfg(test)]
#[allow(unsafe_code, reason = "to make operations that point to nothing")]
mod tests {
    use std::ptr;

    use super::*;

    fn is_taken(op: Op) -> bool {
        // SAFETY: nothing is done with it.
        unsafe { Operation::promised(&op) }.is_ok()
    }

    #[test]
    fn what_an_operation_does_not_have_is_refused() {
        let new = Op::new;
        for code in 0..15 {
            let code = OpCode(code);
            let fd = if [OpCode::NOP, OpCode::TIMEOUT].contains(&code) { -1 } else { 0 };
            assert!(is_taken(new(code, fd)), "{code:?}");
            assert!(!is_taken(Op { flags: 2, ..new(code, fd) }), "{code:?}");
            assert!(!is_taken(Op { args: [0, 0, 1], ..new(code, fd) }), "{code:?}");
            let can_repeat = [OpCode::ACCEPT, OpCode::POLL].contains(&code);
            assert_eq!(is_taken(Op { flags: Op::MULTISHOT, ..new(code, fd) }), can_repeat, "{code:?}");
        }
        assert!(!is_taken(new(OpCode(15), 0)));
        assert!(!is_taken(new(OpCode::NOP, 0)));
        assert!(!is_taken(Op { len: 1, ..new(OpCode::POLL, 0) }));
        assert!(!is_taken(Op { arg32: 4, ..new(OpCode::POLL, 0) }));
        assert!(!is_taken(Op { offset: 1, ..new(OpCode::RECV, 0) }));
        assert!(!is_taken(Op { arg32: libc::MSG_WAITALL as u32, ..new(OpCode::RECV, 0) }));
        let addr = ptr::dangling_mut();
        assert!(is_taken(Op { addr, addr_len: 1, ..new(OpCode::ACCEPT, 0) }));
        assert!(!is_taken(Op { addr, addr_len: 1, flags: Op::MULTISHOT, ..new(OpCode::ACCEPT, 0) }));
    }
}
