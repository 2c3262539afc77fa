//! The loop inside another one, by its descriptor and its deadline.

use std::{
    io::Write,
    os::{
        fd::{AsRawFd, BorrowedFd},
        unix::net::UnixStream,
    },
    thread,
    time::Duration,
};

use loophost::{Callback, Capabilities, LoopHandle};
use loophost_tests::eventually;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::{Count, new_loop, turn};

/// What the outer loop does: waits for the descriptor, but not beyond the deadline, and lets the loop have a turn.
fn outer_turn(event_loop: &LoopHandle) {
    let wait = event_loop.next_deadline().unwrap().saturating_sub(event_loop.time());
    // Nothing here takes longer, so that a wait without an end is a failure.
    let wait = Duration::from_nanos(wait).min(Duration::from_secs(30));
    // SAFETY: the loop is open for the time of this call.
    let fd = unsafe { BorrowedFd::borrow_raw(event_loop.poll_handle().unwrap() as i32) };
    let timeout = PollTimeout::try_from(wait.as_millis() as i32 + 1).unwrap();
    poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout).unwrap();
    turn(event_loop);
}

fn outer_turns_until(event_loop: &LoopHandle, what: &str, come: impl Fn() -> bool) {
    eventually(what, || {
        outer_turn(event_loop);
        come().then_some(())
    });
}

#[test]
fn it_can_be_embedded() {
    let Some(event_loop) = new_loop() else { return };
    assert_ne!(event_loop.capabilities() & Capabilities::EMBEDDABLE, 0);
    assert_eq!(event_loop.next_deadline().unwrap(), u64::MAX, "there is nothing to do");

    let count = Count::default();
    let once = || {
        let mut callback = count.callback();
        Callback::new(move |event| callback.call(event))
    };
    event_loop.call_soon(once()).unwrap();
    assert!(event_loop.next_deadline().unwrap() <= event_loop.time(), "at once");
    outer_turns_until(&event_loop, "call_soon", || count.get() == 1);

    let due = event_loop.time() + 3_000_000;
    event_loop.call_at(due, once()).unwrap();
    assert!(event_loop.next_deadline().unwrap() <= due, "not later than the timer");
    outer_turns_until(&event_loop, "a timer", || count.get() == 2);

    // New descriptors are known to the kernel only when the loop has had a turn, which it asks for.
    let (mut near, far) = UnixStream::pair().unwrap();
    event_loop.add_reader(far.as_raw_fd().into(), count.callback()).unwrap();
    outer_turn(&event_loop);
    near.write_all(b"x").unwrap();
    outer_turns_until(&event_loop, "a reader", || count.get() > 2);
    event_loop.remove_reader(far.as_raw_fd().into()).unwrap();

    let before = count.get();
    let (inner, callback) = (event_loop.clone(), once());
    let other = thread::spawn(move || inner.call_soon_threadsafe(callback).map(drop));
    outer_turns_until(&event_loop, "a call from another thread", || count.get() == before + 1);
    other.join().unwrap().unwrap();
    assert_eq!(event_loop.next_deadline().unwrap(), u64::MAX, "all is done");
    event_loop.close().unwrap();
}
