//! Doing an operation without blocking.

use std::io;

use libc::{EAGAIN, EINPROGRESS, EINTR, S_IFBLK, S_IFDIR, S_IFREG, S_IFSOCK};
use loophost_plugin_api::{Interest, Op, OpCode};

use super::{close, file_type, ready, socket, transfer};
use crate::operation::Operation;

/// An operation that is tried until it does not block.
#[derive(Debug)]
pub(crate) struct Attempt {
    operation: Operation,
    /// For reads and writes.
    is_socket: bool,
    /// A connect that the system goes on with.
    is_under_way: bool,
}

/// What came of trying.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Attempted {
    Done { result: i64, aux: u64 },
    WouldBlock(Interest),
}

impl Attempt {
    /// # Errors
    /// `Unsupported` for files that are always ready, and so would block.
    pub(crate) fn new(operation: &Operation) -> io::Result<Self> {
        let mut attempt = Self { operation: *operation, is_socket: false, is_under_way: false };
        if matches!(operation.code, OpCode::READ | OpCode::WRITE | OpCode::READV | OpCode::WRITEV) {
            if operation.offset != Op::CURRENT_POSITION {
                return Err(io::ErrorKind::Unsupported.into());
            }
            match file_type(operation.raw_fd()) {
                Ok(S_IFREG | S_IFBLK | S_IFDIR) => return Err(io::ErrorKind::Unsupported.into()),
                Ok(file) => attempt.is_socket = file == S_IFSOCK,
                // The call itself will say it.
                Err(_) => {}
            }
        }
        Ok(attempt)
    }

    pub(crate) fn fd(&self) -> i32 {
        self.operation.raw_fd()
    }

    pub(crate) fn is_multishot(&self) -> bool {
        self.operation.is_multishot()
    }

    pub(crate) fn is_poll(&self) -> bool {
        self.operation.code == OpCode::POLL
    }

    /// What it waits for if it would block.
    pub(crate) fn interest(&self) -> Interest {
        match self.operation.code {
            OpCode::POLL => Interest(self.operation.arg32),
            OpCode::WRITE | OpCode::WRITEV | OpCode::SEND | OpCode::SENDTO | OpCode::CONNECT => {
                Interest::WRITE
            }
            _ => Interest::READ,
        }
    }

    /// Tries it, on `fd`.
    pub(crate) fn make(&mut self, fd: i32) -> Attempted {
        loop {
            let error = match self.call(fd) {
                Ok(Some((result, aux))) => return Attempted::Done { result, aux },
                Ok(None) => return Attempted::WouldBlock(self.interest()),
                Err(error) => error,
            };
            match error.raw_os_error() {
                Some(EINTR) if self.operation.code != OpCode::CLOSE => {}
                // A connect that would block says so otherwise; this one has no room at the other end.
                Some(EAGAIN) if self.operation.code != OpCode::CONNECT => {
                    return Attempted::WouldBlock(self.interest());
                }
                Some(EINPROGRESS) if self.operation.code == OpCode::CONNECT => {
                    self.is_under_way = true;
                    return Attempted::WouldBlock(Interest::WRITE);
                }
                errno => return Attempted::Done { result: -i64::from(errno.unwrap_or(libc::EIO)), aux: 0 },
            }
        }
    }

    /// Result and second number; `None` if it would block.
    fn call(&self, fd: i32) -> io::Result<Option<(i64, u64)>> {
        let operation = &self.operation;
        let result = match operation.code {
            OpCode::READ | OpCode::READV if self.is_socket => socket::receive(fd, operation)?.0,
            OpCode::WRITE | OpCode::WRITEV if self.is_socket => socket::send(fd, operation, 0)?,
            OpCode::READ | OpCode::READV => transfer::read(fd, operation)?,
            OpCode::WRITE | OpCode::WRITEV => transfer::write(fd, operation)?,
            OpCode::RECV => socket::receive(fd, operation)?.0,
            OpCode::RECVFROM => return socket::receive(fd, operation).map(Some),
            OpCode::SEND | OpCode::SENDTO => socket::send(fd, operation, libc::MSG_NOSIGNAL)?,
            OpCode::ACCEPT => return socket::accept(fd, operation).map(Some),
            OpCode::CONNECT if self.is_under_way => socket::take_error(fd)?,
            OpCode::CONNECT => socket::connect(fd, operation)?,
            OpCode::CLOSE => close(fd)?,
            OpCode::POLL | OpCode::WAIT_PROCESS => {
                let found = ready(fd, self.interest())?;
                if found.is_empty() {
                    return Ok(None);
                }
                if self.is_poll() { i64::from(found.0) } else { 0 }
            }
            _ => return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)),
        };
        Ok(Some((result, 0)))
    }
}
