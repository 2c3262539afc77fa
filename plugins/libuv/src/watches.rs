//! The descriptors that are watched: readers and writers, and streams. One handle of libuv for each, which has the
//! same life as the watch.

use std::collections::{HashMap, VecDeque};

use loophost_plugin_api::{Error, ErrorCode, Fd, Interest};

use crate::{calls::Due, id::Id, repeated::Repeated, sys::Handles};

/// One of the two directions of readers and writers.
#[derive(Clone, Copy)]
pub(crate) enum Direction {
    Read,
    Write,
}

impl Direction {
    fn interest(self) -> Interest {
        match self {
            Self::Read => Interest::READ,
            Self::Write => Interest::WRITE,
        }
    }
}

#[derive(Default)]
pub(crate) struct Watches {
    by_fd: HashMap<Fd, Watch>,
    /// The descriptor of each stream, by the number of its watch.
    streams: HashMap<u64, Fd>,
    made: u64,
}

/// One descriptor.
struct Watch {
    /// Never given twice.
    number: u64,
    /// What libuv watches it for.
    watched: Interest,
    user: User,
}

enum User {
    /// The reader and the writer.
    Callbacks([Option<Repeated>; 2]),
    Stream(Stream),
}

struct Stream {
    callback: Repeated,
    /// What the caller waits for.
    armed: Interest,
    /// What the queued event will say; empty if none is queued.
    queued: Interest,
}

impl Watch {
    /// What libuv has to watch it for, at the least.
    fn wanted(&self) -> Interest {
        match &self.user {
            User::Callbacks(callbacks) => [Direction::Read, Direction::Write]
                .into_iter()
                .filter(|direction| callbacks[*direction as usize].is_some())
                .fold(Interest::NONE, |wanted, direction| wanted.union(direction.interest())),
            User::Stream(stream) => stream.armed,
        }
    }

    fn start(&mut self, fd: Fd, handles: &mut Handles) {
        self.watched = self.wanted();
        handles.start(fd, self.watched);
    }
}

impl Watches {
    /// Sets the reader or writer of a descriptor; returns the one it replaces, to be dropped. An error changes nothing.
    pub(crate) fn set(
        &mut self,
        handles: &mut Handles,
        fd: Fd,
        direction: Direction,
        callback: Repeated,
    ) -> Result<Option<Repeated>, Error> {
        let watch = match self.by_fd.get_mut(&fd) {
            Some(watch) => {
                // It may have been closed, and its number may be another file's.
                handles.probe(fd).map_err(|error| cannot_watch(fd, &error))?;
                watch
            }
            None => self.open(handles, fd, User::Callbacks([None, None]))?,
        };
        let User::Callbacks(callbacks) = &mut watch.user else {
            return Err(fd_busy(fd, "watched as a stream"));
        };
        let replaced = callbacks[direction as usize].replace(callback);
        watch.start(fd, handles);
        Ok(replaced)
    }

    /// Removes the reader or writer of a descriptor, to be dropped; `None` if there is none.
    pub(crate) fn remove(&mut self, handles: &mut Handles, fd: Fd, direction: Direction) -> Option<Repeated> {
        let watch = self.by_fd.get_mut(&fd)?;
        let User::Callbacks(callbacks) = &mut watch.user else { return None };
        let removed = callbacks[direction as usize].take()?;
        if watch.wanted().is_empty() {
            self.by_fd.remove(&fd);
            handles.end(fd);
        } else {
            watch.start(fd, handles);
        }
        Some(removed)
    }

    /// Begins to watch a stream.
    pub(crate) fn watch(
        &mut self,
        handles: &mut Handles,
        fd: Fd,
        interest: Interest,
        callback: Repeated,
    ) -> Result<Id, Error> {
        if self.by_fd.contains_key(&fd) {
            return Err(fd_busy(fd, "watched already"));
        }
        let user = User::Stream(Stream { callback, armed: interest, queued: Interest::NONE });
        let watch = self.open(handles, fd, user)?;
        watch.start(fd, handles);
        let number = watch.number;
        self.streams.insert(number, fd);
        Ok(Id::Stream(number))
    }

    /// Asks for the next event of a stream.
    pub(crate) fn rearm(
        &mut self,
        handles: &mut Handles,
        number: u64,
        interest: Interest,
    ) -> Result<(), Error> {
        let not_found = || Error::new(ErrorCode::NOT_FOUND, format!("no stream has the number {number}"));
        let fd = *self.streams.get(&number).ok_or_else(not_found)?;
        let watch = self.by_fd.get_mut(&fd).ok_or_else(not_found)?;
        if let User::Stream(stream) = &mut watch.user {
            stream.armed = stream.armed.union(interest);
        }
        // The usual case costs nothing: libuv still watches it.
        if !watch.watched.contains(watch.wanted()) {
            handles.probe(fd).map_err(|error| cannot_watch(fd, &error))?;
            watch.start(fd, handles);
        }
        Ok(())
    }

    /// Ends a stream; returns its callback to be dropped, `None` if there is none.
    pub(crate) fn unwatch(&mut self, handles: &mut Handles, number: u64) -> Option<Repeated> {
        let fd = self.streams.remove(&number)?;
        let watch = self.by_fd.remove(&fd)?;
        handles.end(fd);
        match watch.user {
            User::Stream(stream) => Some(stream.callback),
            User::Callbacks(_) => None,
        }
    }

    /// Queues what is due for a ready descriptor. `stopped`: libuv does not watch it any more.
    pub(crate) fn on_ready(
        &mut self,
        handles: &mut Handles,
        fd: Fd,
        ready: Interest,
        stopped: bool,
        due: &mut VecDeque<Due>,
    ) {
        let Some(watch) = self.by_fd.get_mut(&fd) else { return };
        if stopped {
            watch.watched = Interest::NONE;
        }
        let number = watch.number;
        match &mut watch.user {
            User::Callbacks(callbacks) => {
                for direction in [Direction::Read, Direction::Write] {
                    if callbacks[direction as usize].is_some() && ready.contains(direction.interest()) {
                        due.push_back(Due::Ready(fd, number, direction));
                    }
                }
                if stopped {
                    watch.start(fd, handles);
                }
            }
            User::Stream(stream) => {
                let hit = stream.armed.intersection(ready);
                // Not for this: an event that nobody waits for must not come again.
                if hit.is_empty() {
                    watch.start(fd, handles);
                    return;
                }
                stream.armed = stream.armed.difference(hit);
                if stream.queued.is_empty() {
                    due.push_back(Due::Stream(fd, number));
                }
                stream.queued = stream.queued.union(hit);
            }
        }
    }

    /// The reader or writer that is to be called.
    pub(crate) fn callback(&self, fd: Fd, number: u64, direction: Direction) -> Option<Repeated> {
        match &self.by_fd.get(&fd).filter(|watch| watch.number == number)?.user {
            User::Callbacks(callbacks) => callbacks[direction as usize].clone(),
            User::Stream(_) => None,
        }
    }

    /// The callback of a stream that is to be called, and what its event says.
    pub(crate) fn take_event(&mut self, fd: Fd, number: u64) -> Option<(Repeated, Interest)> {
        match &mut self.by_fd.get_mut(&fd).filter(|watch| watch.number == number)?.user {
            User::Stream(stream) => Some((stream.callback.clone(), std::mem::take(&mut stream.queued))),
            User::Callbacks(_) => None,
        }
    }

    /// How many descriptors are watched.
    pub(crate) fn len(&self) -> usize {
        self.by_fd.len()
    }

    fn open(&mut self, handles: &mut Handles, fd: Fd, user: User) -> Result<&mut Watch, Error> {
        handles.open(fd).map_err(|error| match error.raw_os_error() {
            // One that libuv uses itself.
            Some(libc::EEXIST) => fd_busy(fd, "libuv's own"),
            _ => cannot_watch(fd, &error),
        })?;
        self.made += 1;
        let watch = Watch { number: self.made, watched: Interest::NONE, user };
        Ok(self.by_fd.entry(fd).insert_entry(watch).into_mut())
    }
}

pub(crate) fn cannot_watch(fd: Fd, error: &std::io::Error) -> Error {
    Error::os(error, format_args!("watching descriptor {fd}"))
}

fn fd_busy(fd: Fd, why: &str) -> Error {
    Error::new(ErrorCode::FD_BUSY, format!("descriptor {fd} is {why}: end that first"))
}
