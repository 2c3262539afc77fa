//! Operations as entries of the submission queue.

use std::ptr;

use io_uring::{opcode, squeue::Entry, types::Fd};
use libc::{POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLRDHUP, socklen_t};
use loophost_base_loop::{CLOSED, Operation};
use loophost_plugin_api::{Interest, IoVec, OpCode};

use crate::{availability::Features, sys::message::Message};

/// What the kernel transfers at the most in one call.
const LARGEST: u64 = 0x7fff_f000;

/// An operation that is under way, with what the kernel reads and writes of it beside the submitter's memory. In a box: it
/// stays where it is.
pub(crate) struct UnderWay {
    pub(crate) operation: Operation,
    pub(crate) is_cancelled: bool,
    /// It would have blocked, and the kernel does not wait for this kind of descriptor: a poll does.
    pub(crate) is_polling: bool,
    message: Message,
    address_len: socklen_t,
}

impl UnderWay {
    pub(crate) fn new(operation: &Operation) -> Box<Self> {
        Box::new(Self {
            operation: *operation,
            is_cancelled: false,
            is_polling: false,
            message: Message::empty(),
            address_len: 0,
        })
    }

    /// What is submitted, the first time and again.
    pub(crate) fn entry(&mut self, features: Features, waitid: bool) -> Entry {
        let operation = self.operation;
        let fd = Fd(operation.raw_fd());
        let len = operation.len.min(LARGEST) as u32;
        let (offset, message_flags) = (operation.offset, operation.arg32);
        match operation.code {
            OpCode::READ => opcode::Read::new(fd, operation.ptr.cast(), len).offset(offset).build(),
            OpCode::WRITE => opcode::Write::new(fd, operation.ptr.cast(), len).offset(offset).build(),
            // The array is as the kernel has it where pointers have 64 bits.
            OpCode::READV => opcode::Readv::new(fd, operation.ptr.cast(), len).offset(offset).build(),
            OpCode::WRITEV => opcode::Writev::new(fd, operation.ptr.cast(), len).offset(offset).build(),
            OpCode::RECV => {
                opcode::Recv::new(fd, operation.ptr.cast(), len).flags(message_flags as i32).build()
            }
            OpCode::SEND => {
                let flags = message_flags as i32 | libc::MSG_NOSIGNAL;
                opcode::Send::new(fd, operation.ptr.cast(), len).flags(flags).build()
            }
            OpCode::RECVFROM => {
                opcode::RecvMsg::new(fd, self.message.describe(&operation, len)).flags(message_flags).build()
            }
            OpCode::SENDTO => {
                let flags = message_flags | libc::MSG_NOSIGNAL as u32;
                opcode::SendMsg::new(fd, self.message.describe(&operation, len)).flags(flags).build()
            }
            OpCode::ACCEPT => self.accept(fd, features),
            OpCode::CONNECT => opcode::Connect::new(fd, operation.addr.cast(), operation.addr_len).build(),
            OpCode::CLOSE => opcode::Close::new(fd).build(),
            OpCode::WAIT_PROCESS if waitid => {
                let options = libc::WEXITED | libc::WNOWAIT;
                opcode::WaitId::new(libc::P_PIDFD, fd.0 as libc::id_t, options).build()
            }
            _ => {
                let multishot = operation.is_multishot() && features.multishot_poll;
                poll(fd, self.interest(), multishot)
            }
        }
    }

    /// A poll until it would not block.
    pub(crate) fn poll_entry(&self) -> Entry {
        poll(Fd(self.operation.raw_fd()), self.interest(), false)
    }

    /// The length of the address that was written.
    pub(crate) fn address_len(&self) -> u64 {
        match self.operation.code {
            OpCode::ACCEPT => self.address_len.into(),
            OpCode::RECVFROM => self.message.address_len(),
            _ => 0,
        }
    }

    fn interest(&self) -> Interest {
        match self.operation.code {
            OpCode::POLL => Interest(self.operation.arg32),
            OpCode::WRITE | OpCode::WRITEV | OpCode::SEND | OpCode::SENDTO => Interest::WRITE,
            _ => Interest::READ,
        }
    }

    fn accept(&mut self, fd: Fd, features: Features) -> Entry {
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        if self.operation.is_multishot() && features.multishot_accept {
            return opcode::AcceptMulti::new(fd).flags(flags).build();
        }
        let addr = self.operation.addr;
        self.address_len = self.operation.addr_len;
        let len = if addr.is_null() { ptr::null_mut() } else { &raw mut self.address_len };
        opcode::Accept::new(fd, addr.cast(), len).flags(flags).build()
    }
}

const _: () = assert!(size_of::<IoVec>() == size_of::<libc::iovec>());

/// A poll for these directions.
pub(crate) fn poll(fd: Fd, interest: Interest, multishot: bool) -> Entry {
    let mut events = 0;
    if interest.contains(Interest::READ) {
        events |= POLLIN | POLLRDHUP;
    }
    if interest.contains(Interest::WRITE) {
        events |= POLLOUT;
    }
    opcode::PollAdd::new(fd, events as u32).multi(multishot).build()
}

/// What the result of a poll says; errors stay as they are.
pub(crate) fn poll_result(result: i32, asked: Interest) -> i64 {
    let Ok(bits) = u32::try_from(result) else { return result.into() };
    let is = |bit: i16| bits & bit as u32 != 0;
    let is_over = is(POLLHUP) || is(POLLERR) || is(POLLNVAL);
    let mut found = if is_over || is(POLLRDHUP) { CLOSED } else { Interest::NONE };
    if is_over || is(POLLIN) || is(POLLRDHUP) {
        found = found.union(Interest::READ);
    }
    if is_over || is(POLLOUT) {
        found = found.union(Interest::WRITE);
    }
    i64::from(found.intersection(asked).0)
}
