//! A descriptor that is waited for instead of blocking.

use std::{
    fmt,
    io::{self, IoSlice, IoSliceMut, Read, Write},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_io::{AsyncRead, AsyncWrite};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use super::source::Source;
use crate::Interest;

/// Anything with a descriptor that can be polled: sockets, pipes, terminals, eventfd, inotify… (asyncio: `add_reader`,
/// `add_writer`).
///
/// It is watched by each loop on which it is waited for, and by the last one until it is dropped or the loop is closed; so it
/// may go from one thread to another. Several tasks may wait for it, on several loops too: all are woken, and who comes too
/// late waits again.
/// Dropped in another thread, it is closed when the loops that watch it have heard of it, or are closed.
///
/// ```
/// use std::{io::{Read, Write}, os::unix::net::UnixStream};
/// use loophost::io::Async;
///
/// let read = loophost::run(async {
///     let (near, far) = UnixStream::pair()?;
///     let far = Async::new(far)?;
///     loophost::spawn(async move { (&near).write_all(b"x") });
///     let mut byte = [0];
///     far.read_with(|mut far| far.read(&mut byte)).await
/// });
/// assert_eq!(read.unwrap()?, 1);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Async<T: AsFd + Send + 'static> {
    source: Arc<Source>,
    /// `None` only while it is dropped.
    io: Option<T>,
}

impl<T: AsFd + Send + 'static> Async<T> {
    /// Takes `io` and makes its descriptor non-blocking, for everybody who has it.
    ///
    /// # Errors
    /// Those of fcntl(2). That a descriptor cannot be watched is told by the first wait.
    pub fn new(io: T) -> io::Result<Self> {
        let flags = OFlag::from_bits_retain(fcntl(&io, FcntlArg::F_GETFL)?);
        if !flags.contains(OFlag::O_NONBLOCK) {
            fcntl(&io, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        }
        Ok(Self::new_nonblocking(io))
    }

    /// Takes `io`, whose descriptor is non-blocking already.
    pub(crate) fn new_nonblocking(io: T) -> Self {
        Self { source: Source::new(io.as_fd().as_raw_fd()), io: Some(io) }
    }

    /// What it was made of.
    pub fn get_ref(&self) -> &T {
        self.io.as_ref().expect("it is taken by the drop only")
    }

    /// Waits until the descriptor is ready for reading; also at its end, or after an error. It may be told although
    /// somebody else has read meanwhile. Told at once, and each time, as long as it is ready: who cannot make use of that lets
    /// others have a turn with [`yield_now`](crate::task::yield_now). Cancel-safe.
    ///
    /// # Errors
    /// Those of the loop: the descriptor cannot be watched, or no loop runs here.
    pub async fn readable(&self) -> io::Result<()> {
        self.ready(Interest::READ).await
    }

    /// Waits until the descriptor is ready for writing; also when the other end is gone. See
    /// [`readable`](Self::readable).
    pub async fn writable(&self) -> io::Result<()> {
        self.ready(Interest::WRITE).await
    }

    /// Calls `f` until it does not fail with `WouldBlock`, whenever the descriptor is ready for reading.
    ///
    /// Cancel-safe: dropped, it has read nothing.
    pub async fn read_with<R>(&self, mut f: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        std::future::poll_fn(|cx| self.poll_with(Interest::READ, cx, &mut f)).await
    }

    /// The same whenever it is ready for writing. Cancel-safe: dropped, it has written nothing.
    pub async fn write_with<R>(&self, mut f: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        std::future::poll_fn(|cx| self.poll_with(Interest::WRITE, cx, &mut f)).await
    }

    #[inline]
    pub(crate) fn poll_with<R>(
        &self,
        direction: Interest,
        cx: &mut Context<'_>,
        mut f: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            match f(self.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return Poll::Ready(result),
            }
        }
        self.poll_ready(direction, cx)
    }

    /// Reads from a stream of which a read takes all there is, if it has room for it: after one that had room left no
    /// other one is tried before there is an event.
    #[inline]
    pub(crate) fn poll_read_all(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        mut read: impl FnMut(&T, &mut [u8]) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let Some(events) = self.source.events_unless_empty() else {
            return self.poll_ready(Interest::READ, cx);
        };
        let result = ready!(self.poll_with(Interest::READ, cx, |io| read(io, buffer)));
        if matches!(result, Ok(read @ 1..) if read < buffer.len()) {
            self.source.set_empty(events);
        }
        Poll::Ready(result)
    }

    /// Has the task woken, after a call would have blocked.
    fn poll_ready<R>(&self, direction: Interest, cx: &mut Context<'_>) -> Poll<io::Result<R>> {
        match self.source.wake_when_ready(direction, cx.waker()) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    async fn ready(&self, direction: Interest) -> io::Result<()> {
        // A loop that tells edges says nothing of what was ready before and was not read to its end.
        if self.is_ready_now(direction)? {
            return Ok(());
        }
        let before = self.source.events(direction);
        std::future::poll_fn(|cx| {
            if self.source.events(direction) != before {
                return Poll::Ready(Ok(()));
            }
            self.poll_ready(direction, cx)
        })
        .await
    }

    fn is_ready_now(&self, direction: Interest) -> io::Result<bool> {
        let events = if direction == Interest::READ { PollFlags::POLLIN } else { PollFlags::POLLOUT };
        let mut fds = [PollFd::new(self.as_fd(), events)];
        match poll(&mut fds, PollTimeout::ZERO) {
            Ok(ready) => Ok(ready > 0),
            // Registering tells as well.
            Err(Errno::EINTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl<T: AsFd + Send + 'static> Drop for Async<T> {
    fn drop(&mut self) {
        // Closed only when no loop watches it any more: its number may be another file's at once.
        let io = self.io.take();
        self.source.unwatch(io);
    }
}

impl<T: AsFd + Send + 'static> AsFd for Async<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}

impl<T: AsFd + Send + fmt::Debug + 'static> fmt::Debug for Async<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Async").field(self.get_ref()).finish()
    }
}

impl<T: AsFd + Send + 'static> Unpin for Async<T> {}

/// Reads and writes of the futures-io traits, on the object and on a shared reference to it.
macro_rules! futures_io {
    ($(<$t:ident> $type:ty),*) => {$(
        impl<$t: AsFd + Send + 'static> AsyncRead for $type
        where
            for<'r> &'r $t: Read,
        {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                self.poll_with(Interest::READ, cx, |mut io| io.read(buffer))
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffers: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                self.poll_with(Interest::READ, cx, |mut io| io.read_vectored(buffers))
            }
        }

        /// Flushing and closing do nothing but flush what the object itself has buffered: it is closed when it is
        /// dropped.
        impl<$t: AsFd + Send + 'static> AsyncWrite for $type
        where
            for<'r> &'r $t: Write,
        {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.poll_with(Interest::WRITE, cx, |mut io| io.write(buffer))
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffers: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.poll_with(Interest::WRITE, cx, |mut io| io.write_vectored(buffers))
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_with(Interest::WRITE, cx, |mut io| io.flush())
            }

            fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_flush(cx)
            }
        }
    )*};
}

futures_io!(<T> Async<T>, <T> &Async<T>);
