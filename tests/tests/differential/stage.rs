//! What the scenarios share: loops, callbacks, waiting.

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use loophost::{Callback, Error, LoopHandle, Options, RepeatCallback, WatcherHandle, builtin};
use nix::{
    sys::wait::{Id, WaitPidFlag, waitid},
    unistd::Pid,
};

/// Longer than any machine takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at something that tells nobody when it changes.
const GLANCE: Duration = Duration::from_millis(1);

/// A loop that is not the policy's.
pub(crate) fn new_loop() -> LoopHandle {
    builtin::loops::new("selector", &Options::new()).unwrap()
}

/// A watcher by its name.
pub(crate) fn new_watcher(name: &str) -> WatcherHandle {
    builtin::watchers::new(name, &Options::new()).unwrap()
}

/// A callback that cannot fail.
pub(crate) fn callback(f: impl FnOnce() + Send + 'static) -> Callback {
    Callback::new(move |_| {
        f();
        Ok(())
    })
}

/// A reader, writer or signal handler that cannot fail.
pub(crate) fn repeat(mut f: impl FnMut() + Send + 'static) -> RepeatCallback {
    RepeatCallback::new(move |_| {
        f();
        Ok(())
    })
}

/// One that does nothing.
pub(crate) fn nothing() -> RepeatCallback {
    repeat(|| {})
}

/// One that does nothing, to be called once.
pub(crate) fn nothing_once() -> Callback {
    callback(|| {})
}

/// Python's `raise NotImplementedError`.
pub(crate) fn not_implemented() -> Error {
    Error::not_supported("this")
}

/// Runs `f` from a callback of the loop, and the loop until the end of that turn.
pub(crate) fn inside<R: Send + 'static>(
    event_loop: &LoopHandle,
    f: impl FnOnce() -> R + Send + 'static,
) -> R {
    let (sender, receiver) = mpsc::channel();
    let stop = event_loop.clone();
    let call = callback(move || {
        sender.send(f()).unwrap();
        stop.stop().unwrap();
    });
    event_loop.call_soon(call).unwrap();
    event_loop.run_forever().unwrap();
    receiver.recv().unwrap()
}

/// Runs `f` in another thread and waits for it.
pub(crate) fn in_a_thread<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    thread::spawn(f).join().unwrap()
}

/// Runs the loop until a condition holds, also one that other threads make true.
pub(crate) fn run_until(event_loop: &LoopHandle, mut holds: impl FnMut() -> bool) {
    assert!(run_for(event_loop, PATIENCE, &mut holds), "waited in vain");
}

/// The same, but for this long only; whether it holds.
pub(crate) fn run_for(event_loop: &LoopHandle, time: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + time;
    while !holds() {
        if Instant::now() > deadline {
            return false;
        }
        event_loop.run_once(Some(GLANCE)).unwrap();
    }
    true
}

/// Waits for a change of a child and leaves it for others to see.
pub(crate) fn wait_for(pid: i64, change: WaitPidFlag) {
    // ECHILD: somebody was faster.
    let _ = waitid(Id::Pid(Pid::from_raw(pid as i32)), change | WaitPidFlag::WNOWAIT);
}
