//! Calls on sockets that never block, whether or not the socket would.

use std::{io, mem};

use libc::{MSG_DONTWAIT, c_int, msghdr, socklen_t};

use super::{checked, counted, transfer::parts};
use crate::operation::Operation;

/// What recv, read and recvfrom are about, and what send, write and sendto are.
fn message(operation: &Operation, parts: &mut [libc::iovec]) -> msghdr {
    // SAFETY: all-zero is a valid `msghdr`: no address, no parts.
    let mut message: msghdr = unsafe { mem::zeroed() };
    message.msg_name = operation.addr;
    message.msg_namelen = operation.addr_len;
    message.msg_iov = parts.as_mut_ptr();
    message.msg_iovlen = parts.len() as _;
    message
}

/// How many bytes have come, and the length of the sender's address.
pub(super) fn receive(fd: i32, operation: &Operation) -> io::Result<(i64, u64)> {
    let mut parts = parts(operation)?;
    let mut message = message(operation, &mut parts);
    let flags = operation.arg32 as c_int | MSG_DONTWAIT;
    // SAFETY: message and parts are this function's, what they point to the submitter has promised.
    let count = counted(unsafe { libc::recvmsg(fd, &raw mut message, flags) })?;
    Ok((count, message.msg_namelen.into()))
}

pub(super) fn send(fd: i32, operation: &Operation, flags: c_int) -> io::Result<i64> {
    let mut parts = parts(operation)?;
    let message = message(operation, &mut parts);
    let flags = operation.arg32 as c_int | MSG_DONTWAIT | flags;
    // SAFETY: as in `receive`.
    counted(unsafe { libc::sendmsg(fd, &raw const message, flags) })
}

/// The descriptor, and the length of the peer's address.
pub(super) fn accept(fd: i32, operation: &Operation) -> io::Result<(i64, u64)> {
    let mut len: socklen_t = operation.addr_len;
    let addr = operation.addr.cast();
    let len_or_null = if operation.addr.is_null() { std::ptr::null_mut() } else { &raw mut len };
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    without_blocking(fd, || {
        // SAFETY: the address is null or the submitter's, its length is this function's.
        let accepted = checked(unsafe { libc::accept4(fd, addr, len_or_null, flags) })?;
        Ok((accepted.into(), if addr.is_null() { 0 } else { len.into() }))
    })
}

/// `EINPROGRESS` if the system goes on with it.
pub(super) fn connect(fd: i32, operation: &Operation) -> io::Result<i64> {
    without_blocking(fd, || {
        // SAFETY: the address is the submitter's.
        checked(unsafe { libc::connect(fd, operation.addr.cast(), operation.addr_len) }).map(i64::from)
    })
}

/// The outcome of a connect that has gone on by itself.
pub(super) fn take_error(fd: i32) -> io::Result<i64> {
    let (mut errno, mut len): (c_int, socklen_t) = (0, size_of::<c_int>() as socklen_t);
    let value = (&raw mut errno).cast();
    // SAFETY: value and length are this function's.
    checked(unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR, value, &raw mut len) })?;
    if errno == 0 { Ok(0) } else { Err(io::Error::from_raw_os_error(errno)) }
}

/// Makes a call that has no flag against blocking. A socket that blocks does not for as long as the call takes: of those
/// who share it only one that begins to wait at that very moment can notice.
fn without_blocking<T>(fd: i32, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    // SAFETY: F_GETFL takes no argument; the kernel checks the descriptor.
    let flags = checked(unsafe { libc::fcntl(fd, libc::F_GETFL) })?;
    if flags & libc::O_NONBLOCK != 0 {
        return call();
    }
    // SAFETY: F_SETFL takes an integer.
    checked(unsafe { libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    let result = call();
    // SAFETY: as above; it has just worked.
    unsafe { libc::fcntl(fd, libc::F_SETFL, flags) };
    result
}
