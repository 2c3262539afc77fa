//! What TCP and Unix streams have in common.

use std::{io, os::fd::AsFd};

use rustix::net::{RecvFlags, SendFlags};

/// As std does it, but without the C library, where each call is a point at which its thread may be cancelled: once there is a
/// second thread that costs more than the rest.
#[inline]
pub(super) fn receive(stream: &impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    let (_, received) = rustix::net::recv(stream, buffer, RecvFlags::empty())?;
    Ok(received)
}

/// See [`receive`].
#[inline]
pub(super) fn send(stream: &impl AsFd, buffer: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(stream, buffer, SendFlags::NOSIGNAL)?)
}

/// The traits of futures-io for a stream around an [`Async`](crate::io::Async), and for a shared reference to it.
/// `short_read_empties`: whether a read that gets less than it has room for has taken all there was.
macro_rules! stream_io {
    ($stream:ident, short_read_empties: $empties:literal) => {
        stream_io!(@impl $empties, $stream);
        stream_io!(@impl $empties, &$stream);
    };
    (@impl $empties:literal, $($type:tt)+) => {
        impl futures_io::AsyncRead for $($type)+ {
            #[inline]
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                if $empties {
                    return self.inner.poll_read_all(cx, buffer, super::stream::receive);
                }
                self.inner.poll_with($crate::Interest::READ, cx, |stream| super::stream::receive(stream, buffer))
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffers: &mut [io::IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                futures_io::AsyncRead::poll_read_vectored(Pin::new(&mut &self.inner), cx, buffers)
            }
        }

        /// Closing ends the direction of writing: the other end reads an end-of-file.
        impl futures_io::AsyncWrite for $($type)+ {
            #[inline]
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.inner.poll_with($crate::Interest::WRITE, cx, |stream| super::stream::send(stream, buffer))
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffers: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                futures_io::AsyncWrite::poll_write_vectored(Pin::new(&mut &self.inner), cx, buffers)
            }

            fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(match self.shutdown(Shutdown::Write) {
                    // The other end was faster.
                    Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
                    result => result,
                })
            }
        }
    };
}

pub(super) use stream_io;
