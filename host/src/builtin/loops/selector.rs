//! mio as a selector.

use std::{io, os::fd::AsRawFd, sync::Arc, time::Duration};

use loophost_base_loop::{Key, Ready, Selector, Trigger, Wake};
use mio::{Events, Poll, Token, Waker, unix::SourceFd};

use crate::{Fd, Interest, sys::epoll};

/// How many events one select returns at the most; the rest come with the next one.
const EVENTS: usize = 1024;
/// The waker's token; keys are less than 2⁶².
const WAKE: Token = Token(usize::MAX);

/// A selector on mio.
///
/// Streams are registered through mio, edge-triggered. mio has no level trigger, and re-registering after each event
/// costs nearly twice as much as having one, so readers and writers are registered on mio's own epoll descriptor.
pub(super) struct MioSelector {
    poll: Poll,
    events: Events,
    waker: Arc<MioWaker>,
}

struct MioWaker(Waker);

impl MioSelector {
    pub(super) fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(MioWaker(Waker::new(poll.registry(), WAKE)?));
        Ok(Self { poll, events: Events::with_capacity(EVENTS), waker })
    }
}

impl Wake for MioWaker {
    fn wake(&self) -> io::Result<()> {
        self.0.wake()
    }
}

impl Selector for MioSelector {
    fn waker(&self) -> Arc<dyn Wake> {
        self.waker.clone()
    }

    fn stream_trigger(&self) -> Trigger {
        Trigger::Edge
    }

    fn register(&mut self, fd: Fd, key: Key, interest: Interest, trigger: Trigger) -> io::Result<()> {
        let raw = raw_fd(fd)?;
        if trigger == Trigger::Level {
            return epoll::add(self.poll.as_raw_fd(), raw, key.0, interest);
        }
        self.poll.registry().register(&mut SourceFd(&raw), token(key), mio_interest(interest)?)
    }

    fn modify(&mut self, fd: Fd, key: Key, interest: Interest, trigger: Trigger) -> io::Result<()> {
        let raw = raw_fd(fd)?;
        if trigger == Trigger::Level {
            return epoll::modify(self.poll.as_raw_fd(), raw, key.0, interest);
        }
        self.poll.registry().reregister(&mut SourceFd(&raw), token(key), mio_interest(interest)?)
    }

    fn unregister(&mut self, fd: Fd) -> io::Result<()> {
        self.poll.registry().deregister(&mut SourceFd(&raw_fd(fd)?))
    }

    fn select(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        self.poll.poll(&mut self.events, timeout)?;
        for event in self.events.iter().filter(|event| event.token() != WAKE) {
            let mut interest = Interest::NONE;
            let read_closed = event.is_read_closed() || event.is_error();
            if event.is_readable() || read_closed {
                interest = interest.union(Interest::READ);
            }
            if event.is_writable() || event.is_write_closed() || event.is_error() {
                interest = interest.union(Interest::WRITE);
            }
            ready.push(Ready { key: Key(event.token().0 as u64), interest, read_closed });
        }
        Ok(())
    }

    fn poll_handle(&self) -> Option<Fd> {
        Some(self.poll.as_raw_fd().into())
    }
}

fn token(key: Key) -> Token {
    Token(key.0 as usize)
}

fn raw_fd(fd: Fd) -> io::Result<i32> {
    i32::try_from(fd).map_err(|_| io::ErrorKind::InvalidInput.into())
}

fn mio_interest(interest: Interest) -> io::Result<mio::Interest> {
    match (interest.contains(Interest::READ), interest.contains(Interest::WRITE)) {
        (true, true) => Ok(mio::Interest::READABLE | mio::Interest::WRITABLE),
        (true, false) => Ok(mio::Interest::READABLE),
        (false, true) => Ok(mio::Interest::WRITABLE),
        (false, false) => Err(io::ErrorKind::InvalidInput.into()),
    }
}
