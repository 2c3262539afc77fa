//! Connections between processes of one machine.

use std::{
    io,
    net::Shutdown,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::{self, SocketAddr},
    },
    path::Path,
    pin::Pin,
    task::{Context, Poll},
};

use rustix::net::{AddressFamily, SocketAddrUnix};

use super::{connect::connect, stream::stream_io};
use crate::io::Async;

/// A connection over a Unix socket (asyncio: `open_unix_connection`).
#[derive(Debug)]
pub struct UnixStream {
    inner: Async<net::UnixStream>,
}

impl UnixStream {
    pub(super) fn new(inner: Async<net::UnixStream>) -> Self {
        Self { inner }
    }

    /// Connects to whoever listens at a path. Dropped before it is ready, it ends what it has begun.
    ///
    /// # Errors
    /// `WouldBlock` if the listener has no room for one more: Unix sockets tell that instead of waiting.
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        let address = SocketAddrUnix::new(path.as_ref())?;
        connect(AddressFamily::UNIX, &address).await.map(Self::new)
    }

    /// Two ends of one connection.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (near, far) = net::UnixStream::pair()?;
        Ok((near.try_into()?, far.try_into()?))
    }

    /// Where the other end is.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.get_ref().peer_addr()
    }

    /// Where this end is.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.get_ref().local_addr()
    }

    /// Ends a direction, or both.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.inner.get_ref().shutdown(how)
    }

    /// The stream for whatever else it can; it does not block.
    pub fn get_ref(&self) -> &net::UnixStream {
        self.inner.get_ref()
    }
}

/// Takes a connection that was made by other means.
impl TryFrom<net::UnixStream> for UnixStream {
    type Error = io::Error;

    fn try_from(stream: net::UnixStream) -> io::Result<Self> {
        Async::new(stream).map(Self::new)
    }
}

impl AsFd for UnixStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

// Not those of Unix: a message with descriptors ends a read early.
stream_io!(UnixStream, short_read_empties: false);
