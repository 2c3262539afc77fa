//! Connections over TCP.

use std::{
    io,
    net::{self, Shutdown, SocketAddr, ToSocketAddrs},
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    task::{Context, Poll},
};

use rustix::net::AddressFamily;

use super::{
    connect::connect,
    resolve::{first, resolve},
    stream::stream_io,
};
use crate::io::Async;

/// A connection over TCP (asyncio: a `StreamReader` and a `StreamWriter`).
///
/// One read or write is cancel-safe: dropped before it is ready, it has read or written nothing, on whatever loop.
///
/// ```
/// use futures_lite::{AsyncReadExt, AsyncWriteExt};
/// use loophost::net::{TcpListener, TcpStream};
///
/// let heard = loophost::run(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let mut near = TcpStream::connect(listener.local_addr()?).await?;
///     let (mut far, _address) = listener.accept().await?;
///     near.write_all(b"hello").await?;
///     near.close().await?;
///     let mut heard = String::new();
///     far.read_to_string(&mut heard).await?;
///     Ok::<_, std::io::Error>(heard)
/// });
/// assert_eq!(heard.unwrap().unwrap(), "hello");
/// ```
#[derive(Debug)]
pub struct TcpStream {
    inner: Async<net::TcpStream>,
}

impl TcpStream {
    pub(super) fn new(inner: Async<net::TcpStream>) -> Self {
        Self { inner }
    }

    /// Connects to the first address that answers; names are looked up in a thread of the pool.
    /// Dropped before it is ready, it ends what it has begun.
    ///
    /// # Errors
    /// Those of the last address, or of the lookup.
    pub async fn connect<A>(addresses: A) -> io::Result<Self>
    where
        A: ToSocketAddrs + Send + 'static,
        A::Iter: Send,
    {
        first(resolve(addresses).await?, Self::connect_to).await
    }

    /// Connects to one address. Dropped before it is ready, it ends what it has begun.
    pub async fn connect_to(address: SocketAddr) -> io::Result<Self> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        connect(family, &address).await.map(Self::new)
    }

    /// Where the other end is.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.get_ref().peer_addr()
    }

    /// Where this end is.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.get_ref().local_addr()
    }

    /// Whether small writes are sent at once (`TCP_NODELAY`).
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.inner.get_ref().set_nodelay(on)
    }

    /// Ends a direction, or both.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.inner.get_ref().shutdown(how)
    }

    /// Reads without taking what was read. Cancel-safe.
    pub async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read_with(|stream| stream.peek(buffer)).await
    }

    /// The stream for whatever else it can; it does not block.
    pub fn get_ref(&self) -> &net::TcpStream {
        self.inner.get_ref()
    }
}

/// Takes a connection that was made by other means.
impl TryFrom<net::TcpStream> for TcpStream {
    type Error = io::Error;

    fn try_from(stream: net::TcpStream) -> io::Result<Self> {
        Async::new(stream).map(Self::new)
    }
}

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

stream_io!(TcpStream, short_read_empties: true);
