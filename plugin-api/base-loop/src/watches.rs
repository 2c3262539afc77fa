//! The descriptors that are watched: readers and writers, and streams.

use std::collections::HashMap;

use loophost_plugin_api::{Error, ErrorCode, Fd, HandleId, Interest, RepeatCallback};

use crate::{
    held::{Dropped, Held},
    id::{Id, Kind, Slot},
    ready_queue::{Entry, ReadyQueue},
    selector::{Key, Ready, Trigger},
};

/// What the selector must be told, once the state is no longer borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Nothing,
    Register(Fd, Key, Interest, Trigger),
    Modify(Fd, Key, Interest, Trigger),
    Unregister(Fd),
}

/// One of the two directions of readers and writers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

impl Direction {
    fn kind(self) -> Kind {
        match self {
            Self::Read => Kind::Reader,
            Self::Write => Kind::Writer,
        }
    }

    fn interest(self) -> Interest {
        match self {
            Self::Read => Interest::READ,
            Self::Write => Interest::WRITE,
        }
    }
}

pub(crate) struct Watches {
    by_fd: HashMap<Fd, u32>,
    places: Vec<PlaceInTable>,
    free: Vec<u32>,
    stream_trigger: Trigger,
}

struct PlaceInTable {
    slot: Slot,
    watch: Option<Watch>,
}

/// One descriptor.
struct Watch {
    fd: Fd,
    user: User,
}

enum User {
    Callbacks { reader: Held, writer: Held },
    Stream(Stream),
}

#[derive(Default)]
struct Stream {
    callback: Held,
    /// What the caller waits for.
    armed: Interest,
    /// Ready, and not yet asked for: an edge that came while the caller was busy.
    noticed: Interest,
    /// What the queued event will say; empty if none is queued.
    queued: Interest,
}

impl Watch {
    fn held(&mut self, kind: Kind) -> Option<&mut Held> {
        match (&mut self.user, kind) {
            (User::Callbacks { reader, .. }, Kind::Reader) => Some(reader),
            (User::Callbacks { writer, .. }, Kind::Writer) => Some(writer),
            (User::Stream(stream), Kind::Stream) => Some(&mut stream.callback),
            _ => None,
        }
    }

    /// What readers and writers want of the selector.
    fn interest(&self) -> Interest {
        let User::Callbacks { reader, writer } = &self.user else { return Interest::NONE };
        let wanted = |held: &Held, interest| if held.is_set() { interest } else { Interest::NONE };
        wanted(reader, Interest::READ).union(wanted(writer, Interest::WRITE))
    }
}

impl Watches {
    pub(crate) fn new(stream_trigger: Trigger) -> Self {
        Self { by_fd: HashMap::new(), places: Vec::new(), free: Vec::new(), stream_trigger }
    }

    /// Sets the reader or writer of a descriptor. If the selector then refuses the change,
    /// [`remove`](Self::remove) takes it back.
    pub(crate) fn set(
        &mut self,
        fd: Fd,
        direction: Direction,
        callback: RepeatCallback,
    ) -> Result<(Change, Dropped), (Error, RepeatCallback)> {
        let Some(&index) = self.by_fd.get(&fd) else {
            let user = User::Callbacks { reader: Held::default(), writer: Held::default() };
            let slot = self.insert(Watch { fd, user });
            let dropped = self.held(slot, direction.kind()).and_then(|held| held.set(callback));
            let key = Key(slot.bits());
            return Ok((Change::Register(fd, key, direction.interest(), Trigger::Level), dropped));
        };
        let place = &mut self.places[index as usize];
        let key = Key(place.slot.bits());
        let Some(watch) = place.watch.as_mut().filter(|watch| matches!(watch.user, User::Callbacks { .. }))
        else {
            return Err((fd_busy(fd, "watched as a stream"), callback));
        };
        let dropped = watch.held(direction.kind()).and_then(|held| held.set(callback));
        // Told even if nothing changes: the descriptor may have been closed and be another file by now.
        let change = Change::Modify(fd, key, watch.interest(), Trigger::Level);
        Ok((change, dropped))
    }

    /// Removes the reader or writer of a descriptor; `None` if there is none.
    pub(crate) fn remove(&mut self, fd: Fd, direction: Direction) -> Option<(Change, Dropped)> {
        let index = *self.by_fd.get(&fd)?;
        let place = &mut self.places[index as usize];
        let watch = place.watch.as_mut()?;
        let held = watch.held(direction.kind()).filter(|held| held.is_set())?;
        let dropped = held.clear();
        let rest = watch.interest();
        if !rest.is_empty() {
            return Some((Change::Modify(fd, Key(place.slot.bits()), rest, Trigger::Level), dropped));
        }
        self.free_place(index);
        Some((Change::Unregister(fd), dropped))
    }

    /// Begins to watch a stream.
    pub(crate) fn watch(
        &mut self,
        fd: Fd,
        interest: Interest,
        callback: RepeatCallback,
    ) -> Result<(HandleId, Change), (Error, RepeatCallback)> {
        if self.by_fd.contains_key(&fd) {
            return Err((fd_busy(fd, "watched already"), callback));
        }
        let stream = Stream { callback: Held::new(callback), armed: interest, ..Stream::default() };
        let slot = self.insert(Watch { fd, user: User::Stream(stream) });
        let registered = match self.stream_trigger {
            Trigger::Edge => Interest::BOTH,
            Trigger::Level | Trigger::Once => interest,
        };
        let change = Change::Register(fd, Key(slot.bits()), registered, self.stream_trigger);
        Ok((Id::with_slot(Kind::Stream, slot).into(), change))
    }

    /// Asks for the next event of a stream.
    #[inline]
    pub(crate) fn rearm(
        &mut self,
        id: HandleId,
        interest: Interest,
        ready: &mut ReadyQueue,
    ) -> Result<Change, Error> {
        let slot = stream_slot(id);
        let trigger = self.stream_trigger;
        let Some((fd, stream)) = slot.and_then(|slot| self.stream(slot)) else {
            return Err(Error::new(ErrorCode::NOT_FOUND, format!("no stream has the id {}", id.0)));
        };
        stream.armed = stream.armed.union(interest);
        let slot = Id::from(id).slot();
        match trigger {
            Trigger::Edge => {
                stream.match_up(slot, ready);
                Ok(Change::Nothing)
            }
            Trigger::Level | Trigger::Once => Ok(Change::Modify(fd, Key(slot.bits()), stream.armed, trigger)),
        }
    }

    /// Ends a stream; `None` if there is none.
    pub(crate) fn unwatch(&mut self, id: HandleId) -> Option<(Change, Dropped)> {
        let slot = stream_slot(id)?;
        let (fd, stream) = self.stream(slot)?;
        let dropped = stream.callback.clear();
        self.free_place(slot.index);
        Some((Change::Unregister(fd), dropped))
    }

    /// Queues what is due for a ready descriptor.
    #[inline]
    pub(crate) fn on_ready(&mut self, event: Ready, ready: &mut ReadyQueue) -> Change {
        let slot = Slot::from_bits(event.key.0);
        let trigger = self.stream_trigger;
        // A key of a registration that has ended is an event that was under way: it is dropped here.
        let Some(watch) = self.watch_at(slot) else { return Change::Nothing };
        match &mut watch.user {
            User::Callbacks { reader, writer } => {
                for (held, direction) in [(reader, Direction::Read), (writer, Direction::Write)] {
                    if held.is_set() && event.interest.contains(direction.interest()) {
                        ready.push(Entry::event(Id::with_slot(direction.kind(), slot)));
                    }
                }
                Change::Nothing
            }
            User::Stream(stream) => {
                stream.noticed = stream.noticed.union(event.interest);
                stream.match_up(slot, ready);
                if trigger == Trigger::Edge {
                    // There will be no edge for it if whoever reads stops at the end of the data that came with it.
                    if event.read_closed {
                        stream.noticed = stream.noticed.union(Interest::READ);
                    }
                    return Change::Nothing;
                }
                // Otherwise readiness is asked for anew by each rearm, and it must be silent until then.
                stream.noticed = Interest::NONE;
                if trigger == Trigger::Once && stream.armed.is_empty() {
                    return Change::Nothing;
                }
                Change::Modify(watch.fd, event.key, stream.armed, trigger)
            }
        }
    }

    /// Takes out the callback of an entry to be called, with the number to bring it back and what its event says.
    #[inline]
    pub(crate) fn take(&mut self, id: Id) -> Option<(RepeatCallback, u32, Interest)> {
        let watch = self.watch_at(id.slot())?;
        let bits = match &mut watch.user {
            User::Stream(stream) => std::mem::take(&mut stream.queued),
            User::Callbacks { .. } => Interest::NONE,
        };
        let (callback, number) = watch.held(id.kind())?.take()?;
        Some((callback, number, bits))
    }

    /// Brings a callback back that was called.
    #[inline]
    #[must_use]
    pub(crate) fn put_back(&mut self, id: Id, callback: RepeatCallback, number: u32) -> Dropped {
        match self.held(id.slot(), id.kind()) {
            Some(held) => held.put_back(callback, number),
            None => Some(callback),
        }
    }

    /// Everything that is left, to be dropped.
    pub(crate) fn clear(&mut self) -> Vec<RepeatCallback> {
        self.by_fd.clear();
        let mut dropped = Vec::new();
        for watch in self.places.iter_mut().filter_map(|place| place.watch.take()) {
            match watch.user {
                User::Callbacks { mut reader, mut writer } => {
                    dropped.extend(reader.clear());
                    dropped.extend(writer.clear());
                }
                User::Stream(mut stream) => dropped.extend(stream.callback.clear()),
            }
        }
        dropped
    }

    fn insert(&mut self, watch: Watch) -> Slot {
        let index = self.free.pop().unwrap_or_else(|| {
            let index = u32::try_from(self.places.len()).expect("there are fewer than 2^32 descriptors");
            self.places.push(PlaceInTable { slot: Slot { index, generation: 0 }, watch: None });
            index
        });
        self.by_fd.insert(watch.fd, index);
        let place = &mut self.places[index as usize];
        place.watch = Some(watch);
        place.slot
    }

    fn free_place(&mut self, index: u32) {
        let place = &mut self.places[index as usize];
        if let Some(watch) = place.watch.take() {
            self.by_fd.remove(&watch.fd);
        }
        if let Some(slot) = place.slot.next() {
            place.slot = slot;
            self.free.push(index);
        }
    }

    #[inline]
    fn watch_at(&mut self, slot: Slot) -> Option<&mut Watch> {
        let place = self.places.get_mut(slot.index as usize).filter(|place| place.slot == slot)?;
        place.watch.as_mut()
    }

    #[inline]
    fn held(&mut self, slot: Slot, kind: Kind) -> Option<&mut Held> {
        self.watch_at(slot)?.held(kind)
    }

    #[inline]
    fn stream(&mut self, slot: Slot) -> Option<(Fd, &mut Stream)> {
        let watch = self.watch_at(slot)?;
        match &mut watch.user {
            User::Stream(stream) => Some((watch.fd, stream)),
            User::Callbacks { .. } => None,
        }
    }
}

impl Stream {
    /// Queues an event for what is both armed and noticed.
    #[inline]
    fn match_up(&mut self, slot: Slot, ready: &mut ReadyQueue) {
        let hit = self.armed.intersection(self.noticed);
        if hit.is_empty() {
            return;
        }
        self.armed = self.armed.difference(hit);
        self.noticed = self.noticed.difference(hit);
        if self.queued.is_empty() {
            ready.push(Entry::event(Id::with_slot(Kind::Stream, slot)));
        }
        self.queued = self.queued.union(hit);
    }
}

#[inline]
fn stream_slot(id: HandleId) -> Option<Slot> {
    let id = Id::from(id);
    (id.kind() == Kind::Stream).then(|| id.slot())
}

fn fd_busy(fd: Fd, why: &str) -> Error {
    Error::new(ErrorCode::FD_BUSY, format!("descriptor {fd} is {why}: end that first"))
}
