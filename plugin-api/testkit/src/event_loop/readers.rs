//! Readers and writers.

use std::{
    io::{Read, Write},
    os::fd::{AsFd, OwnedFd},
};

use loophost_plugin_api::{ErrorCode, EventKind, Fd, Interest, RepeatCallback};

use super::{LoopBench, fd, pair};
use crate::{
    Case, Verdict,
    record::{NotesDrop, OnDrop, Record},
    verdict::{Passed, ensure, equal, failed},
};

pub(super) const CASES: &[Case] = &[
    Case::event_loop(
        "loop/reader-level-triggered",
        "a reader is called in every turn in which there is something to read, until it is removed",
        reader_level_triggered,
    ),
    Case::event_loop(
        "loop/reader-at-end-of-file",
        "a reader is called when the other end is closed",
        reader_at_end,
    ),
    Case::event_loop(
        "loop/reader-and-writer",
        "a descriptor may have a reader and a writer, each removed by itself; the reader is called first",
        reader_and_writer,
    ),
    Case::event_loop(
        "loop/reader-replaces-itself",
        "a reader may replace itself while it runs, and is dropped when it returns, not before",
        reader_replaces_itself,
    ),
    Case::event_loop(
        "loop/reader-removed-in-turn",
        "a reader that another one removes in the same turn is not called",
        reader_removed_in_turn,
    ),
    Case::event_loop(
        "loop/reader-error",
        "a reader that fails is reported, and is called again",
        reader_error,
    ),
    Case::event_loop(
        "loop/reader-drop-uses-loop",
        "the drop of a replaced or removed reader may use the loop",
        reader_drop_uses_loop,
    ),
    Case::event_loop(
        "loop/bad-descriptor",
        "a bad descriptor is an error that names it, and leaves nothing",
        bad_descriptor,
    ),
    Case::event_loop(
        "loop/descriptor-number-reused",
        "a number that is closed and used again is another descriptor: only its new reader is called",
        number_reused,
    ),
    Case::event_loop(
        "loop/many-descriptors",
        "two hundred descriptors are watched at once",
        many_descriptors,
    ),
    Case::event_loop(
        "loop/ready-before-due",
        "a turn runs what was given before it, then what is ready, then the timers that are due",
        ready_before_due,
    ),
    Case::event_loop("loop/reader-wakes", "something to read ends the sleep of the loop", reader_wakes),
];

/// asyncio: `test_reader_callback`.
fn reader_level_triggered(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.requires_readiness()?;
    let (mut near, mut far) = pair()?;
    let notes = record.clone();
    event_loop.add_reader(
        fd(&near),
        RepeatCallback::new(move |event| {
            notes.note(if event.kind() == EventKind::READY { "ready" } else { "an event of another kind" });
            Ok(())
        }),
    )?;
    event_loop.turn()?;
    record.expect([])?;
    far.write_all(b"x")?;
    event_loop.turns_until("the reader", || !record.is_empty())?;
    record.expect(["ready"])?;
    event_loop.turns_until("the reader again, as nothing was read", || !record.is_empty())?;
    record.expect(["ready"])?;
    equal("bytes to read", near.read(&mut [0; 8])?, 1)?;
    event_loop.turn()?;
    record.expect([])?;
    far.write_all(b"x")?;
    ensure!(event_loop.remove_reader(fd(&near))?, "remove_reader: expected true");
    ensure!(!event_loop.remove_reader(fd(&near))?, "remove_reader the second time: expected false");
    event_loop.turn()?;
    record.expect([])?;
    Ok(Passed)
}

fn reader_at_end(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.requires_readiness()?;
    let (near, far) = pair()?;
    event_loop.add_reader(fd(&near), record.repeat("ready"))?;
    drop(far);
    event_loop.turns_until("the reader, for the other end is closed", || !record.is_empty())?;
    ensure!(event_loop.remove_reader(fd(&near))?, "remove_reader: expected true");
    Ok(Passed)
}

/// asyncio: `test_writer_callback`, `test_add_reader_existing_writer`.
fn reader_and_writer(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.requires_readiness()?;
    let (near, mut far) = pair()?;
    event_loop.add_writer(fd(&near), record.repeat("writer"))?;
    event_loop.add_reader(fd(&near), record.repeat("reader"))?;
    event_loop.turn()?;
    record.expect(["writer"])?;
    far.write_all(b"x")?;
    event_loop.turn()?;
    record.expect(["reader", "writer"])?;
    ensure!(event_loop.remove_writer(fd(&near))?, "remove_writer: expected true");
    event_loop.turn()?;
    record.expect(["reader"])?;
    ensure!(event_loop.remove_reader(fd(&near))?, "remove_reader: expected true");
    ensure!(!event_loop.remove_writer(fd(&near))?, "remove_writer of none: expected false");
    event_loop.turn()?;
    record.expect([])?;
    // The other way round.
    event_loop.add_reader(fd(&near), record.repeat("reader"))?;
    event_loop.add_writer(fd(&near), record.repeat("writer"))?;
    ensure!(event_loop.remove_reader(fd(&near))?, "remove_reader: expected true");
    event_loop.turn()?;
    record.expect(["writer"])?;
    ensure!(event_loop.remove_writer(fd(&near))?, "remove_writer: expected true");
    Ok(Passed)
}

fn reader_replaces_itself(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.requires_readiness()?;
    let (near, mut far) = pair()?;
    far.write_all(b"x")?;
    let (inner, me, notes) = (event_loop.clone(), fd(&near), record.clone());
    let dropped = NotesDrop(record.clone(), "old is dropped");
    let old = RepeatCallback::new(move |_| {
        let _until_here = &dropped;
        notes.note("old");
        let (inner_of_new, notes_of_new) = (inner.clone(), notes.clone());
        let new = RepeatCallback::new(move |_| {
            notes_of_new.note("new");
            inner_of_new.remove_reader(me).map(drop)
        });
        inner.add_reader(me, new)?;
        notes.note("old returns");
        Ok(())
    });
    event_loop.add_reader(me, old)?;
    event_loop.turn()?;
    record.expect(["old", "old returns", "old is dropped"])?;
    event_loop.turn()?;
    event_loop.turn()?;
    record.expect(["new"])?;
    Ok(Passed)
}

fn reader_removed_in_turn(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.requires_readiness()?;
    let ((a, mut a_far), (b, mut b_far)) = (pair()?, pair()?);
    a_far.write_all(b"x")?;
    b_far.write_all(b"x")?;
    for (me, other) in [(fd(&a), fd(&b)), (fd(&b), fd(&a))] {
        let (inner, notes) = (event_loop.clone(), record.clone());
        let callback = RepeatCallback::new(move |_| {
            notes.note("called");
            inner.remove_reader(me)?;
            inner.remove_reader(other).map(drop)
        });
        event_loop.add_reader(me, callback)?;
    }
    event_loop.turns_until("one of two readers", || !record.is_empty())?;
    event_loop.turn()?;
    record.expect(["called"])?;
    Ok(Passed)
}

fn reader_error(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.requires_readiness()?;
    let (near, mut far) = pair()?;
    far.write_all(b"x")?;
    event_loop.set_exception_handler(Some(record.repeat("reported")))?;
    event_loop.add_reader(fd(&near), RepeatCallback::new(|_| panic!("in a reader")))?;
    event_loop.turns_until("two reports", || record.len() >= 2)?;
    ensure!(event_loop.remove_reader(fd(&near))?, "remove_reader: expected true");
    Ok(Passed)
}

fn reader_drop_uses_loop(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.requires_readiness()?;
    let (near, _far) = pair()?;
    let (inner, me, notes) = (event_loop.clone(), fd(&near), record.clone());
    let on_drop =
        OnDrop(move || notes.note(format!("{:?}", inner.remove_reader(me).map_err(|error| error.code()))));
    event_loop.add_reader(me, holding(on_drop))?;
    event_loop.add_reader(me, RepeatCallback::new(|_| Ok(())))?;
    // The drop of the first has removed the second.
    record.expect(["Ok(true)"])?;
    ensure!(!event_loop.remove_reader(me)?, "remove_reader: expected false, the drop has removed it");

    let (inner, notes) = (event_loop.clone(), record.clone());
    let on_drop = OnDrop(move || {
        let added = inner.add_reader(me, RepeatCallback::new(|_| Ok(())));
        notes.note(format!("{:?}", added.map_err(|error| error.code())));
    });
    event_loop.add_reader(me, holding(on_drop))?;
    ensure!(event_loop.remove_reader(me)?, "remove_reader: expected true");
    record.expect(["Ok(())"])?;
    ensure!(event_loop.remove_reader(me)?, "remove_reader: expected true, the drop has added another");
    Ok(Passed)
}

/// A reader that does nothing but own something.
fn holding(owned: impl Send + 'static) -> RepeatCallback {
    RepeatCallback::new(move |_| {
        let _until_here = &owned;
        Ok(())
    })
}

fn bad_descriptor(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = bench.event_loop()?;
    event_loop.requires_readiness()?;
    for bad in [-1, 1_000_000, Fd::MAX] {
        let nothing = || RepeatCallback::new(|_| Ok(()));
        let Err(error) = event_loop.add_reader(bad, nothing()) else {
            return Err(failed(format!("add_reader({bad}): expected an error, but it worked")));
        };
        ensure!(
            matches!(error.code(), ErrorCode::OS | ErrorCode::INVALID_ARGUMENT),
            "add_reader({bad}): expected the error OS or INVALID_ARGUMENT, got {error:?}"
        );
        ensure!(error.message().contains(&bad.to_string()), "the error does not name {bad}: {error}");
        ensure!(!event_loop.remove_reader(bad)?, "remove_reader({bad}): expected false");
        let watched = event_loop.watch_io(bad, Interest::READ, nothing());
        ensure!(watched.is_err(), "watch_io({bad}): expected an error, but it worked");
    }
    event_loop.turn()?;
    Ok(Passed)
}

fn number_reused(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.requires_readiness()?;
    let (old, _old_far) = pair()?;
    let number = fd(&old);
    event_loop.add_reader(number, record.repeat("old"))?;
    let (new, mut new_far) = pair()?;
    let mut old = OwnedFd::from(old);
    bench.harness.reuse_number(new.as_fd(), &mut old)?;
    event_loop.add_reader(number, record.repeat("new"))?;
    new_far.write_all(b"x")?;
    event_loop.turns_until("the reader of the new descriptor", || !record.is_empty())?;
    event_loop.remove_reader(number)?;
    ensure!(!record.take().contains(&"old".to_owned()), "the reader of the old descriptor was called");
    Ok(Passed)
}

fn many_descriptors(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.requires_readiness()?;
    let pairs = (0..200).map(|_| pair()).collect::<Result<Vec<_>, _>>()?;
    for (near, _) in &pairs {
        let (inner, notes, me) = (event_loop.clone(), record.clone(), fd(near));
        let callback = RepeatCallback::new(move |_| {
            notes.note("called");
            inner.remove_reader(me).map(drop)
        });
        event_loop.add_reader(me, callback)?;
    }
    for (_, far) in &pairs {
        let mut far = far;
        far.write_all(b"x")?;
    }
    event_loop.turns_until("two hundred readers", || record.len() >= pairs.len())?;
    event_loop.turn()?;
    equal("calls", record.len(), pairs.len())?;
    Ok(Passed)
}

/// asyncio: `_run_once`.
fn ready_before_due(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.requires_readiness()?;
    let (near, mut far) = pair()?;
    far.write_all(b"x")?;
    event_loop.call_at(0, record.callback("due"))?;
    event_loop.add_reader(fd(&near), record.repeat("ready"))?;
    event_loop.call_soon(record.callback("given"))?;
    event_loop.turn()?;
    record.expect(["given", "ready", "due"])?;
    Ok(Passed)
}

fn reader_wakes(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.requires_readiness()?;
    let (near, mut far) = pair()?;
    let (inner, notes, me) = (event_loop.clone(), record.clone(), fd(&near));
    let callback = RepeatCallback::new(move |_| {
        notes.note("called");
        inner.remove_reader(me).map(drop)
    });
    event_loop.add_reader(me, callback)?;
    let writer = std::thread::spawn(move || far.write_all(b"x").map(|()| far));
    while record.is_empty() {
        event_loop.turn_woken_by("something to read")?;
    }
    writer.join().map_err(|_| failed("the writing thread panicked"))??;
    Ok(Passed)
}
