//! Waiting for connections from processes of the same machine.

use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::{self, SocketAddr},
    },
    path::Path,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;

use super::{
    UnixStream,
    tcp_listener::{accept, let_many_wait},
};
use crate::{Interest, io::Async};

/// Waits for connections over a Unix socket (asyncio: `start_unix_server`). As a [`Stream`] it gives one after the other
/// and does not end.
#[derive(Debug)]
pub struct UnixListener {
    inner: Async<net::UnixListener>,
}

impl UnixListener {
    /// Listens at a path, where nothing may be yet. The file stays when the listener is dropped.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        let_many_wait(net::UnixListener::bind(path)?)?.try_into()
    }

    /// Waits for the next connection. As [`TcpListener::accept`](super::TcpListener::accept).
    pub async fn accept(&self) -> io::Result<UnixStream> {
        std::future::poll_fn(|cx| self.poll_accept(cx)).await
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<UnixStream>> {
        self.inner.poll_with(Interest::READ, cx, |listener| {
            let (stream, _address) = accept(listener)?;
            Ok(UnixStream::new(Async::new_nonblocking(stream.into())))
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.get_ref().local_addr()
    }

    /// The listener for whatever else it can; it does not block.
    pub fn get_ref(&self) -> &net::UnixListener {
        self.inner.get_ref()
    }
}

impl Stream for UnixListener {
    type Item = io::Result<UnixStream>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_accept(cx).map(Some)
    }
}

/// Takes a listener that was made by other means, as by socket activation.
impl TryFrom<net::UnixListener> for UnixListener {
    type Error = io::Error;

    fn try_from(listener: net::UnixListener) -> io::Result<Self> {
        Ok(Self { inner: Async::new(listener)? })
    }
}

impl AsFd for UnixListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}
