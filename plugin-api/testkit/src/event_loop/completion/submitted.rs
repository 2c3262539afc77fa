//! Operations whose memory lives in their callback, as `submit` wants it. All unsafe code of the suite.
#![allow(unsafe_code, reason = "`submit` is unsafe, and what it accepts is a number")]

use std::{
    net::SocketAddr,
    os::fd::{FromRawFd, OwnedFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use loophost_plugin_api::{
    Error, Event, EventKind, Fd, HandleId, IoVec, LoopHandle, Op, OpCode, RepeatCallback,
};

use crate::{
    record::Record,
    test_loop::TestLoop,
    verdict::{Verdict, equal, failed},
};

/// Room for every kind of address.
const ADDRESS: usize = 128;

/// What an operation points to. The boxes stay where they are when this moves.
#[derive(Default)]
pub(super) struct Memory {
    buffers: Vec<Box<[u8]>>,
    parts: Box<[IoVecOfOurs]>,
    address: Option<Box<[u8]>>,
}

/// Points into the buffers beside it.
struct IoVecOfOurs(#[expect(dead_code, reason = "the system reads it")] IoVec);

// SAFETY: the pointer goes to the other threads together with the buffer that it points into.
unsafe impl Send for IoVecOfOurs {}

impl Memory {
    pub(super) fn none() -> Self {
        Self::default()
    }

    /// A buffer, filled with that.
    pub(super) fn buffer(bytes: impl Into<Vec<u8>>) -> Self {
        Self { buffers: vec![bytes.into().into_boxed_slice()], ..Self::default() }
    }

    /// Several buffers, and the array that describes them.
    pub(super) fn parts(buffers: &[&[u8]]) -> Self {
        let mut buffers: Vec<Box<[u8]>> = buffers.iter().map(|bytes| (*bytes).into()).collect();
        let part =
            |buffer: &mut Box<[u8]>| IoVec { ptr: buffer.as_mut_ptr().cast(), len: buffer.len() as u64 };
        let parts = buffers.iter_mut().map(|buffer| IoVecOfOurs(part(buffer))).collect();
        Self { buffers, parts, address: None }
    }

    /// Room for an address besides.
    pub(super) fn with_address_room(self) -> Self {
        Self { address: Some(vec![0; ADDRESS].into()), ..self }
    }

    /// The address of an IPv4 socket besides.
    pub(super) fn with_address(self, address: SocketAddr) -> Self {
        Self { address: Some(encode(address).into()), ..self }
    }

    fn lend(&mut self, op: Op) -> Op {
        let mut op = op;
        if !self.parts.is_empty() {
            (op.ptr, op.len) = (self.parts.as_mut_ptr().cast(), self.parts.len() as u64);
        } else if let Some(buffer) = self.buffers.first_mut() {
            (op.ptr, op.len) = (buffer.as_mut_ptr().cast(), buffer.len() as u64);
        }
        if let Some(address) = &mut self.address {
            (op.addr, op.addr_len) = (address.as_mut_ptr().cast(), address.len() as u32);
        }
        op
    }
}

/// `sockaddr_in`.
pub(super) fn encode(address: SocketAddr) -> Vec<u8> {
    const AF_INET: u16 = 2;
    let SocketAddr::V4(address) = address else { return Vec::new() };
    let mut bytes = AF_INET.to_ne_bytes().to_vec();
    bytes.extend(address.port().to_be_bytes());
    bytes.extend(address.ip().octets());
    bytes.extend([0; 8]);
    bytes
}

/// What a callback was told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) result: i64,
    pub(super) aux: u64,
    pub(super) more: bool,
}

/// What the callback writes down.
#[derive(Default)]
struct Shared {
    told: Mutex<Vec<Told>>,
    /// The memory, when the final event has come.
    memory: Mutex<Option<Memory>>,
    other_kinds: AtomicBool,
    dropped: AtomicBool,
}

/// An operation that was submitted.
#[derive(Clone)]
pub(super) struct Submitted {
    pub(super) id: HandleId,
    shared: Arc<Shared>,
}

/// Says that the callback was dropped, and with it the memory if no final event had come.
struct Guard(Arc<Shared>, Record);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.dropped.store(true, SeqCst);
        self.1.note("dropped");
    }
}

/// Submits an operation with its memory.
pub(super) fn submit(event_loop: &LoopHandle, op: Op, memory: Memory) -> Result<Submitted, Error> {
    submit_noting(event_loop, op, memory, &Record::default())
}

/// The same; the record gets `event` or `final event`, and `dropped`.
pub(super) fn submit_noting(
    event_loop: &LoopHandle,
    op: Op,
    mut memory: Memory,
    record: &Record,
) -> Result<Submitted, Error> {
    let shared = Arc::new(Shared::default());
    let op = memory.lend(op);
    let guard = Guard(shared.clone(), record.clone());
    let (mut memory, notes) = (Some(memory), record.clone());
    let callback = RepeatCallback::new(move |event| {
        let told = told(event);
        notes.note(if told.more { "event" } else { "final event" });
        if event.kind() != EventKind::COMPLETION {
            guard.0.other_kinds.store(true, SeqCst);
        }
        lock(&guard.0.told).push(told);
        if !told.more {
            *lock(&guard.0.memory) = memory.take();
        }
        Ok(())
    });
    // SAFETY: all that `op` points to are boxes that live in the callback until the final event has come.
    let id = unsafe { event_loop.submit(&op, callback) }?;
    Ok(Submitted { id, shared })
}

/// Submits an operation that points to nothing, with a callback of the case's own.
pub(super) fn submit_bare(
    event_loop: &LoopHandle,
    op: Op,
    callback: RepeatCallback,
) -> Result<HandleId, Error> {
    assert!(op.ptr.is_null() && op.addr.is_null(), "an operation that points to nothing");
    // SAFETY: it points to nothing.
    unsafe { event_loop.submit(&op, callback) }
}

pub(super) fn told(event: &Event<'_>) -> Told {
    Told { result: event.result, aux: event.aux, more: event.flags & Event::MORE != 0 }
}

/// A read or write where the descriptor stands.
pub(super) fn at_its_position(code: OpCode, fd: Fd) -> Op {
    Op { offset: Op::CURRENT_POSITION, ..Op::new(code, fd) }
}

/// Takes the descriptor that an accept has told.
pub(super) fn accepted(result: i64) -> Verdict<OwnedFd> {
    match i32::try_from(result) {
        // SAFETY: accept gives each descriptor to its callback alone.
        Ok(fd @ 0..) => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(failed(format!("accept: expected a descriptor, got {result}"))),
    }
}

impl Submitted {
    fn told(&self) -> Vec<Told> {
        lock(&self.shared.told).clone()
    }

    pub(super) fn results(&self) -> Vec<i64> {
        self.told().iter().map(|told| told.result).collect()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.told().last().is_some_and(|told| !told.more)
    }

    pub(super) fn is_dropped(&self) -> bool {
        self.shared.dropped.load(SeqCst)
    }

    /// The final event, which must have come once and as the last one, from an operation without others.
    #[track_caller]
    pub(super) fn only_event(&self) -> Verdict<Told> {
        equal("events of another kind", self.shared.other_kinds.load(SeqCst), false)?;
        match self.told()[..] {
            [told] if !told.more => Ok(told),
            ref told => Err(failed(format!("expected one final event, got {told:?}"))),
        }
    }

    /// Turns until the final event has come, which must be the only one; its result.
    #[track_caller]
    pub(super) fn finish(&self, event_loop: &TestLoop) -> Verdict<i64> {
        event_loop.turns_until("the final event of an operation", || self.has_ended())?;
        // A second one would come now.
        event_loop.turn()?;
        equal("the callback is dropped after its final event", self.is_dropped(), true)?;
        Ok(self.only_event()?.result)
    }

    /// The first buffer, after the final event.
    #[track_caller]
    pub(super) fn bytes(&self) -> Verdict<Vec<u8>> {
        Ok(self.buffers()?.remove(0))
    }

    /// All buffers, after the final event.
    #[track_caller]
    pub(super) fn buffers(&self) -> Verdict<Vec<Vec<u8>>> {
        match &*lock(&self.shared.memory) {
            Some(memory) => Ok(memory.buffers.iter().map(|buffer| buffer.to_vec()).collect()),
            None => Err(failed("the operation has not given its memory back")),
        }
    }

    /// The address, after the final event.
    #[track_caller]
    pub(super) fn address(&self) -> Verdict<Vec<u8>> {
        let memory = lock(&self.shared.memory);
        match memory.as_ref().and_then(|memory| memory.address.as_ref()) {
            Some(address) => Ok(address.to_vec()),
            None => Err(failed("the operation has not given its address back")),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
