//! The end of a loop that has handles active, here, in another thread, and in a forked child.

use std::{
    io::Write,
    os::{fd::AsRawFd, unix::net::UnixStream},
    thread,
};

use crate::{Count, in_a_child, new_loop, turn, turns_until};
use loophost::{Callback, ErrorCode, Fd, Interest, LoopHandle};

/// A loop with something of every kind, and what it watches.
struct Busy {
    event_loop: LoopHandle,
    count: Count,
    near: [UnixStream; 3],
    far: [UnixStream; 3],
}

impl Busy {
    fn new() -> Option<Self> {
        let event_loop = new_loop()?;
        let count = Count::default();
        let (near, far): (Vec<_>, Vec<_>) = (0..3).map(|_| UnixStream::pair().unwrap()).unzip();
        let busy = Self { event_loop, count, near: near.try_into().unwrap(), far: far.try_into().unwrap() };
        busy.watch();
        // So that libuv has told the kernel of them.
        turn(&busy.event_loop);
        // And something that it has not told yet.
        busy.event_loop.add_writer(busy.fd(2), busy.count.callback()).unwrap();
        Some(busy)
    }

    fn fd(&self, index: usize) -> Fd {
        self.near[index].as_raw_fd().into()
    }

    fn once(&self) -> Callback {
        let mut callback = self.count.callback();
        Callback::new(move |event| callback.call(event))
    }

    fn watch(&self) {
        let event_loop = &self.event_loop;
        event_loop.add_reader(self.fd(0), self.count.callback()).unwrap();
        event_loop.watch_io(self.fd(1), Interest::READ, self.count.callback()).unwrap();
        event_loop.add_signal_handler(libc::SIGURG, self.count.callback()).unwrap();
        event_loop.call_at(u64::MAX, self.once()).unwrap();
        event_loop.set_exception_handler(Some(self.count.callback())).unwrap();
    }

    /// Things that are due, and not yet called.
    fn give(&self) {
        self.event_loop.call_soon(self.once()).unwrap();
        self.event_loop.call_soon_threadsafe(self.once()).unwrap();
        for mut far in &self.far {
            far.write_all(b"x").unwrap();
        }
    }
}

#[test]
fn close_drops_everything_and_calls_nothing() {
    let Some(busy) = Busy::new() else { return };
    busy.give();
    assert_eq!(busy.count.live(), 8);
    busy.event_loop.close().unwrap();
    assert_eq!((busy.count.get(), busy.count.live()), (0, 0));
    assert_eq!(busy.event_loop.call_soon(busy.once()).unwrap_err().code(), ErrorCode::LOOP_CLOSED);
    assert_eq!(busy.event_loop.poll_handle().unwrap_err().code(), ErrorCode::LOOP_CLOSED);
}

#[test]
fn a_loop_may_be_dropped_in_another_thread() {
    let Some(Busy { event_loop, count, near, far }) = Busy::new() else { return };
    thread::spawn(move || drop(event_loop)).join().unwrap();
    assert_eq!((count.get(), count.live()), (0, 0));
    drop((near, far));
}

/// Nobody is woken through a handle that was freed.
#[test]
fn a_loop_may_be_closed_while_other_threads_call_it() {
    for _ in 0..100 {
        let Some(event_loop) = new_loop() else { return };
        let callers: Vec<_> = (0..2)
            .map(|_| {
                let inner = event_loop.clone();
                thread::spawn(move || {
                    loop {
                        match inner.call_soon_threadsafe(Callback::new(|_| Ok(()))) {
                            Ok(_) => drop(inner.stop()),
                            Err(error) => break error.code(),
                        }
                    }
                })
            })
            .collect();
        turn(&event_loop);
        event_loop.close().unwrap();
        for caller in callers {
            assert_eq!(caller.join().unwrap(), ErrorCode::LOOP_CLOSED);
        }
    }
}

/// An epoll is shared with the child: what that removes would be removed here.
#[test]
fn a_forked_child_leaves_the_parent_s_loop_alone() {
    let Some(Busy { event_loop, count, near, far }) = Busy::new() else { return };
    let fd = Fd::from(near[0].as_raw_fd());
    in_a_child(|| {
        let code = |result: Result<(), loophost::Error>| result.unwrap_err().code();
        for result in [
            event_loop.call_soon(Callback::new(|_| Ok(()))).map(drop),
            event_loop.call_soon_threadsafe(Callback::new(|_| Ok(()))).map(drop),
            event_loop.stop(),
            event_loop.remove_reader(fd).map(drop),
            event_loop.poll_handle().map(drop),
            event_loop.run_once(None),
        ] {
            assert_eq!(code(result), ErrorCode::FORKED);
        }
        event_loop.close().unwrap();
        assert!(event_loop.is_closed() && count.live() == 0);
        // One of its own works.
        let own = new_loop().unwrap();
        let (mut near, far) = UnixStream::pair().unwrap();
        near.write_all(b"x").unwrap();
        own.add_reader(far.as_raw_fd().into(), count.callback()).unwrap();
        turns_until(&own, "the reader of the child's own loop", || count.get() > 0);
        in_a_child(|| assert_eq!(code(own.run_once(None)), ErrorCode::FORKED));
        turns_until(&own, "the reader again", || count.get() > 1);
        own.close().unwrap();
    });
    (&far[0]).write_all(b"x").unwrap();
    event_loop.remove_writer(near[2].as_raw_fd().into()).unwrap();
    turns_until(&event_loop, "the parent's reader", || count.get() > 0);
    event_loop.close().unwrap();
    assert_eq!(count.live(), 0);
}
