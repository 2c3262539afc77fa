//! poll(2) as a selector.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use libc::{POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, pollfd};
use loophost_base_loop::{Key, Ready, Selector, Trigger, Wake};
use loophost_plugin_api::{Fd, Interest};
use nix::{
    errno::Errno,
    fcntl::OFlag,
    unistd::{pipe2, read, write},
};

use crate::sys;

/// A selector on poll(2): the array that the system call takes, and an index into it.
pub(crate) struct PollSelector {
    /// The first entry is the waker's pipe.
    fds: Vec<pollfd>,
    /// The key of each entry.
    keys: Vec<Key>,
    /// Where each descriptor is in `fds`.
    places: HashMap<i32, usize>,
    pipe: OwnedFd,
    waker: Arc<PipeWaker>,
}

/// The writing end of a pipe whose reading end is always polled.
struct PipeWaker(OwnedFd);

impl PollSelector {
    pub(crate) fn new() -> io::Result<Self> {
        let (pipe, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        Ok(Self {
            fds: vec![entry(pipe.as_raw_fd(), Interest::READ)],
            keys: vec![Key(u64::MAX)],
            places: HashMap::new(),
            pipe,
            waker: Arc::new(PipeWaker(writer)),
        })
    }

    fn drain_pipe(&self) -> io::Result<()> {
        let mut bytes = [0; 64];
        loop {
            match read(self.pipe.as_fd(), &mut bytes) {
                Ok(n) if n == bytes.len() => {}
                Ok(_) | Err(Errno::EAGAIN) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl Wake for PipeWaker {
    fn wake(&self) -> io::Result<()> {
        loop {
            match write(self.0.as_fd(), &[1]) {
                // A full pipe wakes as well as one more byte would.
                Ok(_) | Err(Errno::EAGAIN) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl Selector for PollSelector {
    fn waker(&self) -> Arc<dyn Wake> {
        self.waker.clone()
    }

    fn stream_trigger(&self) -> Trigger {
        Trigger::Level
    }

    fn register(&mut self, fd: Fd, key: Key, interest: Interest, _trigger: Trigger) -> io::Result<()> {
        let fd = raw_fd(fd)?;
        // poll(2) would only say that it is closed in the next turn.
        sys::check_open(fd)?;
        self.places.insert(fd, self.fds.len());
        self.fds.push(entry(fd, interest));
        self.keys.push(key);
        Ok(())
    }

    fn modify(&mut self, fd: Fd, key: Key, interest: Interest, _trigger: Trigger) -> io::Result<()> {
        let fd = raw_fd(fd)?;
        let place = *self.places.get(&fd).ok_or(io::ErrorKind::NotFound)?;
        self.fds[place] = entry(fd, interest);
        self.keys[place] = key;
        Ok(())
    }

    fn unregister(&mut self, fd: Fd) -> io::Result<()> {
        let place = self.places.remove(&raw_fd(fd)?).ok_or(io::ErrorKind::NotFound)?;
        self.fds.swap_remove(place);
        self.keys.swap_remove(place);
        if let Some(moved) = self.fds.get(place) {
            self.places.insert(descriptor(moved), place);
        }
        Ok(())
    }

    fn select(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        let mut left = sys::poll(&mut self.fds, timeout)?;
        if left > 0 && self.fds[0].revents != 0 {
            left -= 1;
            self.drain_pipe()?;
        }
        for (entry, key) in self.fds.iter().zip(&self.keys).skip(1) {
            if left == 0 {
                break;
            }
            if entry.revents != 0 {
                left -= 1;
                let interest = interest(entry.revents);
                ready.push(Ready { key: *key, interest, read_closed: false });
            }
        }
        Ok(())
    }
}

fn raw_fd(fd: Fd) -> io::Result<i32> {
    i32::try_from(fd).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// What poll(2) is given for a descriptor. A stream that nobody waits for at the moment would still hear of a hang-up
/// in every select: poll(2) skips negative numbers, so it gets one that can be turned back.
fn entry(fd: i32, interest: Interest) -> pollfd {
    let mut events = 0;
    if interest.contains(Interest::READ) {
        events |= POLLIN;
    }
    if interest.contains(Interest::WRITE) {
        events |= POLLOUT;
    }
    pollfd { fd: if interest.is_empty() { !fd } else { fd }, events, revents: 0 }
}

fn descriptor(entry: &pollfd) -> i32 {
    if entry.fd < 0 { !entry.fd } else { entry.fd }
}

fn interest(revents: i16) -> Interest {
    if revents & (POLLHUP | POLLERR | POLLNVAL) != 0 {
        return Interest::BOTH;
    }
    let mut interest = Interest::NONE;
    if revents & POLLIN != 0 {
        interest = interest.union(Interest::READ);
    }
    if revents & POLLOUT != 0 {
        interest = interest.union(Interest::WRITE);
    }
    interest
}
