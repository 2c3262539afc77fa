//! Datagrams.

use std::{
    io,
    net::{self, SocketAddr, ToSocketAddrs},
    os::fd::{AsFd, BorrowedFd},
};

use super::resolve::{first, resolve};
use crate::io::Async;

/// A socket for datagrams over UDP (asyncio: `create_datagram_endpoint`).
#[derive(Debug)]
pub struct UdpSocket {
    inner: Async<net::UdpSocket>,
}

impl UdpSocket {
    /// Takes the first of the addresses that can be had; port 0 takes one that is free.
    /// Dropped before it is ready, it takes none.
    pub async fn bind<A>(addresses: A) -> io::Result<Self>
    where
        A: ToSocketAddrs + Send + 'static,
        A::Iter: Send,
    {
        first(resolve(addresses).await?, async |address| net::UdpSocket::bind(address)?.try_into()).await
    }

    /// Makes the first address that is possible the only one that it talks with. Cancel-safe.
    pub async fn connect<A>(&self, addresses: A) -> io::Result<()>
    where
        A: ToSocketAddrs + Send + 'static,
        A::Iter: Send,
    {
        first(resolve(addresses).await?, async |address| self.inner.get_ref().connect(address)).await
    }

    /// Receives a datagram and who has sent it. What has no room in the buffer is lost.
    /// Cancel-safe: dropped, it has received nothing.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.inner.read_with(|socket| socket.recv_from(buffer)).await
    }

    /// Sends a datagram to an address. Cancel-safe: dropped, it has sent nothing.
    pub async fn send_to(&self, buffer: &[u8], address: SocketAddr) -> io::Result<usize> {
        self.inner.write_with(|socket| socket.send_to(buffer, address)).await
    }

    /// Receives a datagram from where it is connected to. Cancel-safe, as [`recv_from`](Self::recv_from).
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read_with(|socket| socket.recv(buffer)).await
    }

    /// Sends a datagram to where it is connected to. Cancel-safe, as [`send_to`](Self::send_to).
    pub async fn send(&self, buffer: &[u8]) -> io::Result<usize> {
        self.inner.write_with(|socket| socket.send(buffer)).await
    }

    /// Where this end is.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.get_ref().local_addr()
    }

    /// The socket for whatever else it can; it does not block.
    pub fn get_ref(&self) -> &net::UdpSocket {
        self.inner.get_ref()
    }
}

/// Takes a socket that was made by other means.
impl TryFrom<net::UdpSocket> for UdpSocket {
    type Error = io::Error;

    fn try_from(socket: net::UdpSocket) -> io::Result<Self> {
        Ok(Self { inner: Async::new(socket)? })
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}
