//! `watch_io`: descriptors whose readiness is told once, and again when asked for.

use std::{
    io::{Read, Write},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use loophost_plugin_api::{ErrorCode, EventKind, HandleId, Interest, RepeatCallback, Stat};

use super::{LoopBench, fd, pair};
use crate::{
    Case, Verdict,
    record::{NotesDrop, Record},
    test_loop::TestLoop,
    verdict::{Passed, ensure, equal, refused},
};

pub(super) const CASES: &[Case] = &[
    Case::event_loop(
        "loop/stream-rearm",
        "a stream tells once that it is ready, and again after rearm_io, with the bits that are ready",
        stream_rearm,
    ),
    Case::event_loop(
        "loop/stream-directions",
        "an event of a stream uses up the directions that it tells, and rearm_io adds to those that are left",
        stream_directions,
    ),
    Case::event_loop(
        "loop/stream-unknown-interest",
        "a stream that is watched for nothing is silent until rearm_io; for unknown bits it is NOT_SUPPORTED",
        stream_unknown_interest,
    ),
    Case::event_loop(
        "loop/stream-unwatched-inside",
        "a stream that is unwatched in its own callback is dropped after that returns, and not called again",
        stream_unwatched_inside,
    ),
    Case::event_loop(
        "loop/stream-hung-up-is-silent",
        "a stream whose other end is gone and that nobody waits for costs no turns",
        stream_hung_up,
    ),
    Case::event_loop(
        "loop/stream-or-callbacks",
        "a descriptor is a stream or has a reader, not both: FD_BUSY",
        stream_or_callbacks,
    ),
];

/// The ready bits that a stream was told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Interest>>>);

impl Told {
    fn watch(&self, event_loop: &TestLoop, fd: i64, interest: Interest) -> Verdict<HandleId> {
        let told = self.clone();
        Ok(event_loop.watch_io(
            fd,
            interest,
            RepeatCallback::new(move |event| {
                let bits = if event.kind() == EventKind::IO { event.result as u32 } else { u32::MAX };
                told.0.lock().unwrap_or_else(PoisonError::into_inner).push(Interest(bits));
                Ok(())
            }),
        )?)
    }

    fn take(&self) -> Vec<Interest> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

fn stream_rearm(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, told) = (bench.event_loop()?, Told::default());
    event_loop.requires_readiness()?;
    let (mut near, mut far) = pair()?;
    let id = told.watch(&event_loop, fd(&near), Interest::READ)?;
    event_loop.turn()?;
    equal("events before there is anything", told.take(), [])?;
    far.write_all(b"x")?;
    event_loop.turns_until("the first event", || !told.is_empty())?;
    equal("the first event", told.take(), [Interest::READ])?;
    far.write_all(b"y")?;
    event_loop.turn()?;
    event_loop.turn()?;
    equal("events before rearm_io", told.take(), [])?;
    equal("bytes to read", near.read(&mut [0; 8])?, 2)?;
    ensure!(near.read(&mut [0; 8]).is_err(), "there must be nothing more to read");
    event_loop.rearm_io(id, Interest::READ)?;
    event_loop.turn()?;
    // An edge loop may have noticed the second byte: an event that was not needed is allowed.
    if !told.take().is_empty() {
        event_loop.rearm_io(id, Interest::READ)?;
    }
    event_loop.turn()?;
    equal("events with nothing to read", told.take(), [])?;
    event_loop.rearm_io(id, Interest::WRITE)?;
    event_loop.turns_until("room to write", || !told.is_empty())?;
    let bits = told.take();
    ensure!(
        bits.iter().all(|bits| bits.contains(Interest::WRITE)),
        "expected WRITE to be ready, got {bits:?}"
    );
    far.write_all(b"z")?;
    drop(far);
    event_loop.rearm_io(id, Interest::READ)?;
    event_loop.turns_until("the last byte", || !told.is_empty())?;
    told.take();
    equal("bytes to read at last", near.read(&mut [0; 8])?, 1)?;
    // It had room for more, so this was all; the end may have come with it.
    event_loop.rearm_io(id, Interest::READ)?;
    event_loop.turns_until("the end of file", || !told.is_empty())?;
    let bits = told.take();
    ensure!(
        bits.iter().any(|bits| bits.contains(Interest::READ)),
        "expected READ at end of file, got {bits:?}"
    );
    ensure!(event_loop.unwatch_io(id)?, "unwatch_io: expected true");
    ensure!(!event_loop.unwatch_io(id)?, "unwatch_io the second time: expected false");
    refused(
        "rearm_io of what is not watched",
        event_loop.rearm_io(id, Interest::READ),
        ErrorCode::NOT_FOUND,
    )?;
    Ok(Passed)
}

fn stream_directions(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, told) = (bench.event_loop()?, Told::default());
    event_loop.requires_readiness()?;
    let (mut near, mut far) = pair()?;
    let id = told.watch(&event_loop, fd(&near), Interest::BOTH)?;
    event_loop.turns_until("room to write", || !told.is_empty())?;
    equal("the first event", told.take(), [Interest::WRITE])?;
    far.write_all(b"x")?;
    event_loop.turns_until("something to read, which is still waited for", || !told.is_empty())?;
    equal("the second event", told.take(), [Interest::READ])?;
    equal("bytes to read", near.read(&mut [0; 8])?, 1)?;
    while near.write(&[0; 4096]).is_ok() {}
    event_loop.rearm_io(id, Interest::READ)?;
    event_loop.rearm_io(id, Interest::WRITE)?;
    event_loop.turn()?;
    // An edge loop may have noticed room that is gone: an event that was not needed is allowed.
    let early = told.take().into_iter().fold(Interest::NONE, Interest::union);
    event_loop.rearm_io(id, early)?;
    event_loop.turn()?;
    equal("events of what is empty and full", told.take(), [])?;
    while far.read(&mut [0; 4096]).is_ok() {}
    far.write_all(b"y")?;
    let mut bits = Interest::NONE;
    event_loop.turns_until("both directions", || {
        bits = told.take().into_iter().fold(bits, Interest::union);
        bits == Interest::BOTH
    })?;
    ensure!(event_loop.unwatch_io(id)?, "unwatch_io: expected true");
    Ok(Passed)
}

fn stream_unknown_interest(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, told) = (bench.event_loop()?, Told::default());
    event_loop.requires_readiness()?;
    let (near, mut far) = pair()?;
    let unknown = [Interest(1 << 31), Interest::READ.union(Interest(1 << 2))];
    for interest in unknown {
        let watched = event_loop.watch_io(fd(&near), interest, RepeatCallback::new(|_| Ok(())));
        refused(&format!("watch_io with {interest:?}"), watched, ErrorCode::NOT_SUPPORTED)?;
    }
    let id = told.watch(&event_loop, fd(&near), Interest::NONE)?;
    far.write_all(b"x")?;
    event_loop.turn()?;
    event_loop.turn()?;
    equal("events that nobody waits for", told.take(), [])?;
    for interest in unknown {
        let rearmed = event_loop.rearm_io(id, interest);
        refused(&format!("rearm_io with {interest:?}"), rearmed, ErrorCode::NOT_SUPPORTED)?;
    }
    event_loop.turn()?;
    equal("events after a rearm_io that was refused", told.take(), [])?;
    event_loop.rearm_io(id, Interest::READ)?;
    event_loop.turns_until("what was there to read", || !told.is_empty())?;
    equal("the event", told.take(), [Interest::READ])?;
    ensure!(event_loop.unwatch_io(id)?, "unwatch_io: expected true");
    Ok(Passed)
}

fn stream_unwatched_inside(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.requires_readiness()?;
    let (near, mut far) = pair()?;
    let own = Arc::new(Mutex::new(HandleId(0)));
    let (inner, id, notes) = (event_loop.clone(), own.clone(), record.clone());
    let dropped = NotesDrop(record.clone(), "dropped");
    let callback = RepeatCallback::new(move |_| {
        let _until_here = &dropped;
        let id = *id.lock().unwrap_or_else(PoisonError::into_inner);
        notes.note(format!("unwatch_io {}", inner.unwatch_io(id)?));
        notes.refusal("rearm_io", inner.rearm_io(id, Interest::READ));
        notes.note("returns");
        Ok(())
    });
    let id = event_loop.watch_io(fd(&near), Interest::READ, callback)?;
    *own.lock().unwrap_or_else(PoisonError::into_inner) = id;
    far.write_all(b"x")?;
    event_loop.turns_until("the event", || !record.is_empty())?;
    event_loop.turn()?;
    record.expect(["unwatch_io true", "rearm_io NOT_FOUND", "returns", "dropped"])?;
    ensure!(!event_loop.unwatch_io(id)?, "unwatch_io the second time: expected false");
    // The descriptor is free again.
    let told = Told::default();
    let again = told.watch(&event_loop, fd(&near), Interest::READ)?;
    event_loop.turns_until("the event of another stream", || !told.is_empty())?;
    ensure!(event_loop.unwatch_io(again)?, "unwatch_io of another stream: expected true");
    record.expect([])?;
    Ok(Passed)
}

fn stream_hung_up(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, told) = (bench.event_loop()?, Told::default());
    event_loop.requires_readiness()?;
    event_loop.requires_stat(Stat::TURNS, "TURNS")?;
    let (near, far) = pair()?;
    let id = told.watch(&event_loop, fd(&near), Interest::READ)?;
    drop(far);
    event_loop.turns_until("the end of file", || !told.is_empty())?;
    told.take();
    let before = event_loop.requires_stat(Stat::TURNS, "TURNS")?;
    event_loop.run_once(Some(Duration::from_millis(20)))?;
    equal("events that nobody waits for", told.take(), [])?;
    equal("turns", event_loop.requires_stat(Stat::TURNS, "TURNS")? - before, 1)?;
    ensure!(event_loop.unwatch_io(id)?, "unwatch_io: expected true");
    Ok(Passed)
}

fn stream_or_callbacks(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = bench.event_loop()?;
    event_loop.requires_readiness()?;
    let (near, _far) = pair()?;
    let nothing = || RepeatCallback::new(|_| Ok(()));
    let id = event_loop.watch_io(fd(&near), Interest::READ, nothing())?;
    refused("add_reader on a stream", event_loop.add_reader(fd(&near), nothing()), ErrorCode::FD_BUSY)?;
    let again = event_loop.watch_io(fd(&near), Interest::READ, nothing());
    refused("watch_io on a stream", again, ErrorCode::FD_BUSY)?;
    ensure!(!event_loop.remove_reader(fd(&near))?, "remove_reader on a stream: expected false");
    ensure!(event_loop.unwatch_io(id)?, "unwatch_io: expected true");
    event_loop.add_reader(fd(&near), nothing())?;
    let on_reader = event_loop.watch_io(fd(&near), Interest::READ, nothing());
    refused("watch_io on a reader", on_reader, ErrorCode::FD_BUSY)?;
    Ok(Passed)
}
