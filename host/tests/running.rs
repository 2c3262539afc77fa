//! The running loop of each thread.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{sync::mpsc, thread};

use loophost::{
    Callback, ErrorCode, LoopHandle, Options, builtin,
    host::{current_loop, enter_running},
    policy,
};

/// A loop, with the host installed.
fn new_loop() -> LoopHandle {
    policy::get_event_loop_policy();
    builtin::loops::new("selector", &Options::new()).unwrap()
}

#[test]
fn a_thread_has_one_running_loop_at_a_time() {
    let (one, other) = (new_loop(), new_loop());
    let running = enter_running(&one).unwrap();
    assert!(current_loop().unwrap().same(&one));
    let error = enter_running(&one).unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (ErrorCode::LOOP_RUNNING, "this event loop is already running")
    );
    let error = enter_running(&other).unwrap_err();
    assert_eq!(error.code(), ErrorCode::LOOP_RUNNING);
    assert!(error.message().contains("another one"), "{error}");
    drop(running);
    assert!(current_loop().is_none());
    drop(enter_running(&other).unwrap());
}

#[test]
fn threads_do_not_see_each_other_s() {
    let event_loop = new_loop();
    let _running = enter_running(&event_loop).unwrap();
    thread::spawn(|| {
        assert!(current_loop().is_none());
        drop(enter_running(&new_loop()).unwrap());
    })
    .join()
    .unwrap();
    assert!(current_loop().unwrap().same(&event_loop));
}

#[test]
fn a_loop_announces_itself_while_it_runs() {
    let event_loop = new_loop();
    let (sender, found) = mpsc::channel();
    let (stop, other) = (event_loop.clone(), new_loop());
    event_loop
        .call_soon(Callback::new(move |_| {
            sender.send((current_loop(), other.run_forever())).unwrap();
            stop.stop()
        }))
        .unwrap();
    event_loop.run_forever().unwrap();
    let (current, nested) = found.recv().unwrap();
    assert!(current.unwrap().same(&event_loop));
    assert_eq!(nested.unwrap_err().code(), ErrorCode::LOOP_RUNNING);
    assert!(current_loop().is_none());
}

#[test]
fn a_thread_that_ends_inside_a_run_lets_go_of_the_loop() {
    let event_loop = new_loop();
    let there = event_loop.clone();
    thread::spawn(move || std::mem::forget(enter_running(&there).unwrap())).join().unwrap();
    drop(enter_running(&event_loop).unwrap());
}
