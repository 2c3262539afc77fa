//! Connecting without blocking.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, SocketFlags, SocketType, addr::SocketAddrArg, connect as start, socket_with, sockopt,
    },
};

use crate::io::Async;

/// A socket that is non-blocking and close-on-exec.
pub(super) fn socket(family: AddressFamily, kind: SocketType) -> io::Result<OwnedFd> {
    Ok(socket_with(family, kind, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?)
}

/// Connects a stream to an address.
pub(super) async fn connect<T: From<OwnedFd> + AsFd + Send + 'static>(
    family: AddressFamily,
    address: &impl SocketAddrArg,
) -> io::Result<Async<T>> {
    let stream = Async::new_nonblocking(T::from(socket(family, SocketType::STREAM)?));
    match start(&stream, address) {
        Ok(()) => return Ok(stream),
        // After a signal too it goes on by itself.
        Err(Errno::INPROGRESS | Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    stream.writable().await?;
    sockopt::socket_error(&stream)??;
    Ok(stream)
}
