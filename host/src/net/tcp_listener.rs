//! Waiting for connections over TCP.

use std::{
    io,
    net::{self, SocketAddr, ToSocketAddrs},
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use rustix::net::{SocketFlags, acceptfrom_with, listen};

use super::{
    TcpStream,
    resolve::{first, resolve},
};
use crate::{Interest, io::Async};

/// Waits for connections over TCP (asyncio: `start_server`). As a [`Stream`] it gives one after the other and does not
/// end.
#[derive(Debug)]
pub struct TcpListener {
    inner: Async<net::TcpListener>,
}

impl TcpListener {
    /// Listens at the first of the addresses that can be had, with `SO_REUSEADDR`; port 0 takes one that is free. As many
    /// connections wait to be accepted as the system allows (`net.core.somaxconn`).
    /// Dropped before it is ready, it listens nowhere.
    pub async fn bind<A>(addresses: A) -> io::Result<Self>
    where
        A: ToSocketAddrs + Send + 'static,
        A::Iter: Send,
    {
        let bind = async |address| let_many_wait(net::TcpListener::bind(address)?)?.try_into();
        first(resolve(addresses).await?, bind).await
    }

    /// Waits for the next connection. Cancel-safe: dropped, it has taken none.
    ///
    /// # Errors
    /// `EMFILE` and `ENFILE` for want of descriptors: the connection waits, and can be had once there are some. A connection
    /// that is over before it was accepted is no error; the next one is waited for.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        std::future::poll_fn(|cx| self.poll_accept(cx)).await
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        self.inner.poll_with(Interest::READ, cx, |listener| {
            let (stream, address) = accept(listener)?;
            let address = address.and_then(|address| address.try_into().ok());
            let stream = net::TcpStream::from(stream);
            let address = address.map_or_else(|| stream.peer_addr(), Ok)?;
            Ok((TcpStream::new(Async::new_nonblocking(stream)), address))
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.get_ref().local_addr()
    }

    /// The listener for whatever else it can; it does not block.
    pub fn get_ref(&self) -> &net::TcpListener {
        self.inner.get_ref()
    }
}

/// Lets as many connections wait to be accepted as the system allows (`net.core.somaxconn`). The standard library has 128,
/// so that of a thousand that come at once some wait for a second, or are reset.
pub(super) fn let_many_wait<L: AsFd>(listener: L) -> io::Result<L> {
    listen(&listener, i32::MAX)?;
    Ok(listener)
}

/// Takes a connection that is non-blocking and close-on-exec.
pub(super) fn accept(
    listener: &impl AsFd,
) -> io::Result<(std::os::fd::OwnedFd, Option<rustix::net::SocketAddrAny>)> {
    loop {
        match acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Err(rustix::io::Errno::CONNABORTED) => {}
            result => return Ok(result?),
        }
    }
}

impl Stream for TcpListener {
    type Item = io::Result<TcpStream>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_accept(cx).map(|accepted| Some(accepted.map(|(stream, _)| stream)))
    }
}

/// Takes a listener that was made by other means, as by socket activation.
impl TryFrom<net::TcpListener> for TcpListener {
    type Error = io::Error;

    fn try_from(listener: net::TcpListener) -> io::Result<Self> {
        Ok(Self { inner: Async::new(listener)? })
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}
