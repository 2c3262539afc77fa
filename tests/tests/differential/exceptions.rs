//! Errors in what an event loop calls.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use loophost::{Callback, RepeatCallback};

use crate::{
    descriptors::Sockets,
    event_loop::Loop,
    scenarios::{Scenarios, named},
    signals::{SIGNAL, raise},
    stage::not_implemented,
    trace::{error_words, listen, note_all},
};

pub(crate) const PLAIN: Scenarios = named![
    exception_in_a_callback,
    exception_in_a_timer,
    exception_in_a_reader,
    exception_in_a_signal_handler,
    exception_without_a_handler,
    exception_in_the_exception_handler,
    call_exception_handler,
];

fn failing() -> Callback {
    Callback::new(|_| Err(not_implemented()))
}

fn note_exceptions(event_loop: &Loop) {
    let handler = RepeatCallback::new(|event| {
        let error = event.exception().and_then(|context| context.error).unwrap();
        note_all("exception handler", error_words(error));
        Ok(())
    });
    event_loop.0.set_exception_handler(Some(handler)).unwrap();
}

fn exception_in_a_callback() {
    let event_loop = Loop::new();
    note_exceptions(&event_loop);
    event_loop.0.call_soon(failing()).unwrap();
    event_loop.ran_soon("next");
    event_loop.run_a_turn();
}

fn exception_in_a_timer() {
    let event_loop = Loop::new();
    note_exceptions(&event_loop);
    event_loop.0.call_at(0, failing()).unwrap();
    event_loop.run_a_turn();
    event_loop.ran_soon("next");
    event_loop.run_a_turn();
}

/// Fails at each call; the second ends the run.
fn failing_twice(event_loop: &Loop, first: impl Fn() + Send + 'static) -> RepeatCallback {
    let (this, calls) = (event_loop.clone(), AtomicUsize::new(0));
    RepeatCallback::new(move |_| {
        if calls.fetch_add(1, SeqCst) == 1 {
            this.stop();
        } else {
            first();
        }
        Err(not_implemented())
    })
}

fn exception_in_a_reader() {
    let mut sockets = Sockets::new();
    note_exceptions(&sockets.event_loop);
    sockets.event_loop.0.add_reader(sockets.fd(), failing_twice(&sockets.event_loop, || {})).unwrap();
    sockets.send();
    sockets.event_loop.run();
}

fn exception_in_a_signal_handler() {
    let event_loop = Loop::new();
    note_exceptions(&event_loop);
    event_loop.0.add_signal_handler(SIGNAL, failing_twice(&event_loop, raise)).unwrap();
    raise();
    event_loop.run();
}

fn exception_without_a_handler() {
    listen();
    let event_loop = Loop::new();
    note_exceptions(&event_loop);
    event_loop.0.set_exception_handler(None).unwrap();
    event_loop.0.call_soon(failing()).unwrap();
    event_loop.ran_soon("next");
    event_loop.run_a_turn();
}

fn exception_in_the_exception_handler() {
    let event_loop = Loop::new();
    let handler = RepeatCallback::new(|_| Err(not_implemented()));
    event_loop.0.set_exception_handler(Some(handler)).unwrap();
    event_loop.0.call_soon(failing()).unwrap();
    event_loop.ran_soon("next");
    event_loop.run_a_turn();
}

fn call_exception_handler() {
    let event_loop = Loop::new();
    note_exceptions(&event_loop);
    event_loop.0.call_exception_handler("m", Some(not_implemented()), Vec::new()).unwrap();
}
