//! Running a loop inside another one: `poll_handle` and `next_deadline`.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use loophost_plugin_api::{Callback, Capabilities, Fd, Interest, LoopHandle, RepeatCallback};

use super::{LoopBench, fd, pair};
use crate::{
    Case, Verdict,
    record::Record,
    test_loop::TestLoop,
    verdict::{Passed, ensure, equal, failed},
};

pub(super) const CASES: &[Case] = &[
    Case::event_loop(
        "loop/embedded-deadline",
        "next_deadline is the first timer, none, or a time that is past if there is something to do",
        deadline,
    ),
    Case::event_loop(
        "loop/embedded-wakes",
        "after next_deadline a reader, a stream and another thread make poll_handle readable",
        wakes,
    ),
    Case::event_loop(
        "loop/embedded-is-silent",
        "poll_handle is not readable while there is nothing to do, however often the loop is run",
        is_silent,
    ),
    Case::event_loop(
        "loop/embedded-tells-once",
        "a reader is called once a turn, however often next_deadline has said that there is something to do",
        tells_once,
    ),
];

fn embeddable(bench: &LoopBench<'_>) -> Verdict<TestLoop> {
    let event_loop = bench.event_loop()?;
    event_loop.requires(Capabilities::EMBEDDABLE, "EMBEDDABLE")?;
    Ok(event_loop)
}

fn deadline(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (embeddable(bench)?, Record::default());
    event_loop.turn()?;
    equal("with nothing to do", event_loop.next_deadline()?, u64::MAX)?;
    let when = event_loop.time() + Duration::from_secs(3600).as_nanos() as u64;
    let timer = event_loop.call_at(when, record.callback("timer"))?;
    equal("with a timer", event_loop.next_deadline()?, when)?;
    event_loop.call_soon(record.callback("soon"))?;
    ensure!(
        event_loop.next_deadline()? <= event_loop.time(),
        "with a callback: expected a time that is past"
    );
    event_loop.turn()?;
    record.expect(["soon"])?;
    equal("with a timer", event_loop.next_deadline()?, when)?;
    event_loop.call_soon_threadsafe(record.callback("threadsafe"))?;
    ensure!(
        event_loop.next_deadline()? <= event_loop.time(),
        "with a callback: expected a time that is past"
    );
    event_loop.turn()?;
    record.expect(["threadsafe"])?;
    ensure!(event_loop.cancel(timer)?, "cancel: expected true");
    equal("without the timer", event_loop.next_deadline()?, u64::MAX)?;
    Ok(Passed)
}

/// Another loop, which waits for the first one's handle, as who embeds it does.
struct Outer {
    event_loop: LoopHandle,
    handle: Fd,
    is_readable: Arc<AtomicBool>,
}

impl Outer {
    fn new(bench: &LoopBench<'_>, inner: &LoopHandle) -> Verdict<Self> {
        let this = Self {
            event_loop: bench.harness.new_event_loop()?,
            handle: inner.poll_handle()?,
            is_readable: Arc::default(),
        };
        let (readable, outer, handle) = (this.is_readable.clone(), this.event_loop.clone(), this.handle);
        this.event_loop.add_reader(
            this.handle,
            RepeatCallback::new(move |_| {
                readable.store(true, SeqCst);
                outer.remove_reader(handle).map(drop)
            }),
        )?;
        Ok(this)
    }

    /// Waits until the handle is readable.
    fn wait(self, bench: &LoopBench<'_>, what: &str) -> Verdict<()> {
        self.event_loop.run_once(Some(bench.harness.patience()))?;
        let is_readable = self.is_readable.load(SeqCst);
        self.event_loop.close()?;
        if is_readable { Ok(()) } else { Err(failed(format!("poll_handle does not tell of {what}"))) }
    }
}

/// Runs it as long as it has something to do, as who embeds it does: a loop may have to tell the kernel of its descriptors.
fn settle(event_loop: &TestLoop) -> Verdict<()> {
    for _ in 0..10 {
        let deadline = event_loop.next_deadline()?;
        if deadline == u64::MAX {
            return Ok(());
        }
        ensure!(deadline <= event_loop.time(), "with no timer: expected no deadline, or one that is past");
        event_loop.turn()?;
    }
    Err(failed("next_deadline has something to do after each of ten turns"))
}

fn wakes(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (embeddable(bench)?, Record::default());
    let (near, mut far) = pair()?;
    let (stream, mut stream_far) = pair()?;
    event_loop.requires_readiness()?;
    event_loop.add_reader(fd(&near), record.repeat("reader"))?;
    event_loop.watch_io(fd(&stream), Interest::READ, record.repeat("stream"))?;
    for round in 0..3 {
        settle(&event_loop)?;
        let outer = Outer::new(bench, &event_loop)?;
        match round {
            0 => far.write_all(b"x")?,
            1 => stream_far.write_all(b"x")?,
            _ => {
                let (inner, notes) = (event_loop.clone(), record.clone());
                let other =
                    thread::spawn(move || inner.call_soon_threadsafe(notes.callback("threadsafe")).map(drop));
                other.join().map_err(|_| failed("the other thread has panicked"))??;
            }
        }
        outer.wait(bench, ["a reader", "a stream", "another thread"][round])?;
        event_loop.turns_until("what the handle has told of", || !record.is_empty())?;
        record.expect([["reader"], ["stream"], ["threadsafe"]][round])?;
        if round == 0 {
            ensure!(event_loop.remove_reader(fd(&near))?, "remove_reader: expected true");
        }
    }
    Ok(Passed)
}

fn is_silent(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (embeddable(bench)?, Record::default());
    let (near, _far) = pair()?;
    event_loop.requires_readiness()?;
    event_loop.add_reader(fd(&near), record.repeat("reader"))?;
    for _ in 0..3 {
        let notes = record.clone();
        event_loop.call_soon_threadsafe(Callback::new(move |_| {
            notes.note("threadsafe");
            Ok(())
        }))?;
        event_loop.turn()?;
        record.expect(["threadsafe"])?;
        equal("the deadline", event_loop.next_deadline()?, u64::MAX)?;
    }
    let outer = Outer::new(bench, &event_loop)?;
    outer.event_loop.run_once(Some(Duration::ZERO))?;
    ensure!(!outer.is_readable.load(SeqCst), "the handle is readable, and there is nothing to do");
    outer.event_loop.close()?;
    Ok(Passed)
}

fn tells_once(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (embeddable(bench)?, Record::default());
    let (near, mut far) = pair()?;
    event_loop.requires_readiness()?;
    event_loop.add_reader(fd(&near), record.repeat("reader"))?;
    settle(&event_loop)?;
    let outer = Outer::new(bench, &event_loop)?;
    far.write_all(b"x")?;
    outer.wait(bench, "a reader")?;
    for _ in 0..3 {
        // Whether it looks at what is ready is the loop's affair.
        event_loop.next_deadline()?;
    }
    event_loop.turn()?;
    // A turn may have gone to a wake; none may call the reader twice.
    let called = record.take().len();
    ensure!(called <= 1, "the reader was called {called} times in a turn");
    if called == 0 {
        event_loop.turns_until("what the handle has told of", || !record.is_empty())?;
    }
    Ok(Passed)
}
