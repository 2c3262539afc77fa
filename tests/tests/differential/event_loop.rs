//! The event loop: turns, timers, threads, its end.

use std::{
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use loophost::{EventLoop, HandleId, LoopHandle};
use serde_json::{Value, json};

use crate::{
    scenarios::{Scenarios, named},
    stage::{callback, in_a_thread, inside, new_loop, nothing, nothing_once},
    trace::{listen, note, note_all, note_call, note_value, outcome},
};

pub(crate) const PLAIN: Scenarios = named![
    call_soon_order,
    call_soon_from_a_callback,
    stop_before_the_run,
    stop_from_a_callback,
    stop_twice,
    timers_in_the_order_of_their_times,
    timer_in_the_past,
    timer_from_a_callback,
    cancelled_callback,
    cancelled_in_the_same_turn,
    cancelled_timer,
    cancelled_after_its_call,
    loop_states,
    run_inside_itself,
    run_inside_another,
    run_in_two_threads,
    close_inside,
    close_twice,
    close_with_callbacks,
    after_close,
    removals_after_close,
    call_soon_threadsafe_wakes,
    call_soon_threadsafe_order,
    call_soon_threadsafe_between,
    call_soon_in_another_thread,
    call_soon_in_another_thread_in_debug_mode,
    slow_callback,
    abstract_event_loop,
];

/// A loop with short words for what the scenarios do most.
#[derive(Clone)]
pub(crate) struct Loop(pub(crate) LoopHandle);

impl Loop {
    pub(crate) fn new() -> Self {
        Self(new_loop())
    }

    pub(crate) fn soon(&self, f: impl FnOnce() + Send + 'static) -> HandleId {
        self.0.call_soon(callback(f)).unwrap()
    }

    /// Notes when it is called.
    pub(crate) fn ran_soon(&self, value: &'static str) -> HandleId {
        self.soon(move || ran(value))
    }

    /// In `ms` milliseconds of a clock that stands still, or so long ago.
    pub(crate) fn at(&self, now: u64, ms: i64, f: impl FnOnce() + Send + 'static) -> HandleId {
        self.0.call_at(now.saturating_add_signed(ms * 1_000_000), callback(f)).unwrap()
    }

    pub(crate) fn stop(&self) {
        self.0.stop().unwrap();
    }

    pub(crate) fn run(&self) {
        self.0.run_forever().unwrap();
    }

    /// Runs to the end of the turn that comes next.
    pub(crate) fn run_a_turn(&self) {
        inside(&self.0, || {});
    }
}

pub(crate) fn ran(value: impl Into<Value>) {
    note_value("ran", value);
}

fn call_soon_order() {
    let event_loop = Loop::new();
    for n in 0..5 {
        event_loop.soon(move || ran(n));
    }
    event_loop.run_a_turn();
}

fn call_soon_from_a_callback() {
    let event_loop = Loop::new();
    let this = event_loop.clone();
    event_loop.soon(move || {
        ran("first");
        this.ran_soon("third");
    });
    event_loop.ran_soon("second");
    event_loop.run_a_turn();
    note("turn");
    event_loop.run_a_turn();
}

fn stop_before_the_run() {
    let event_loop = Loop::new();
    let this = event_loop.clone();
    event_loop.soon(move || {
        ran("first");
        this.ran_soon("second");
    });
    event_loop.stop();
    event_loop.run();
    note("stopped");
    event_loop.stop();
    event_loop.run();
}

fn stop_from_a_callback() {
    let event_loop = Loop::new();
    let (this, stop) = (event_loop.clone(), event_loop.clone());
    event_loop.soon(move || stop.stop());
    event_loop.soon(move || {
        ran("same turn");
        this.ran_soon("next turn");
    });
    event_loop.run();
    note("stopped");
    event_loop.run_a_turn();
}

fn stop_twice() {
    let event_loop = Loop::new();
    event_loop.stop();
    event_loop.stop();
    event_loop.run();
    event_loop.ran_soon("second run");
    event_loop.run_a_turn();
}

fn timers_in_the_order_of_their_times() {
    let event_loop = Loop::new();
    let now = event_loop.0.time();
    for n in [3, 1, 2] {
        event_loop.at(now, n, move || ran(n));
    }
    let this = event_loop.clone();
    event_loop.at(now, 4, move || this.stop());
    event_loop.run();
}

fn timer_in_the_past() {
    let event_loop = Loop::new();
    event_loop.at(event_loop.0.time(), -1000, || ran("timer"));
    event_loop.ran_soon("soon");
    event_loop.run_a_turn();
}

fn timer_from_a_callback() {
    let event_loop = Loop::new();
    let this = event_loop.clone();
    event_loop.soon(move || {
        this.at(this.0.time(), -1000, || ran("timer"));
    });
    event_loop.ran_soon("soon");
    event_loop.run_a_turn();
    note("turn");
    event_loop.run_a_turn();
}

fn cancelled_callback() {
    let event_loop = Loop::new();
    let id = event_loop.ran_soon("cancelled");
    event_loop.ran_soon("kept");
    event_loop.0.cancel(id).unwrap();
    event_loop.0.cancel(id).unwrap();
    event_loop.run_a_turn();
}

fn cancelled_in_the_same_turn() {
    let event_loop = Loop::new();
    let id = Arc::new(Mutex::new(None));
    let (this, other) = (event_loop.clone(), id.clone());
    event_loop.soon(move || {
        ran("first");
        this.0.cancel(other.lock().unwrap().unwrap()).unwrap();
    });
    *id.lock().unwrap() = Some(event_loop.ran_soon("cancelled"));
    event_loop.ran_soon("last");
    event_loop.run_a_turn();
}

fn cancelled_timer() {
    let event_loop = Loop::new();
    let now = event_loop.0.time();
    let id = event_loop.at(now, 1, || ran("cancelled"));
    event_loop.at(now, 2, || ran("kept"));
    let this = event_loop.clone();
    event_loop.at(now, 3, move || this.stop());
    event_loop.0.cancel(id).unwrap();
    event_loop.run();
}

fn cancelled_after_its_call() {
    let event_loop = Loop::new();
    let id = event_loop.ran_soon("called");
    event_loop.run_a_turn();
    // Ours tells whether it will not be called; asyncio's says nothing.
    note_call("cancel", event_loop.0.cancel(id).map(drop));
    event_loop.run_a_turn();
}

fn loop_states() {
    fn state(event_loop: &LoopHandle) {
        note_all("state", json!({ "running": event_loop.is_running(), "closed": event_loop.is_closed() }));
    }

    let event_loop = new_loop();
    state(&event_loop);
    let this = event_loop.clone();
    inside(&event_loop, move || state(&this));
    state(&event_loop);
    event_loop.close().unwrap();
    state(&event_loop);
}

fn run_inside_itself() {
    let event_loop = new_loop();
    let this = event_loop.clone();
    inside(&event_loop, move || note_call("run_forever", this.run_forever()));
}

fn run_inside_another() {
    let other = new_loop();
    inside(&new_loop(), move || note_call("run_forever", other.run_forever()));
}

fn run_in_two_threads() {
    let event_loop = new_loop();
    let this = event_loop.clone();
    inside(&event_loop, move || in_a_thread(move || note_call("run_forever", this.run_forever())));
}

fn close_inside() {
    let event_loop = Loop::new();
    let this = event_loop.0.clone();
    event_loop.soon(move || note_call("close", this.close()));
    event_loop.ran_soon("after");
    event_loop.run_a_turn();
}

fn close_twice() {
    let event_loop = new_loop();
    note_call("close", event_loop.close());
    note_call("close", event_loop.close());
}

fn close_with_callbacks() {
    let event_loop = Loop::new();
    event_loop.ran_soon("pending");
    event_loop.0.close().unwrap();
    note_call("run_forever", event_loop.0.run_forever());
}

fn after_close() {
    let closed = new_loop();
    closed.close().unwrap();
    note_call("run_forever", closed.run_forever());
    note_call("call_soon", closed.call_soon(nothing_once()));
    note_call("call_soon_threadsafe", closed.call_soon_threadsafe(nothing_once()));
    note_call("call_later", closed.call_later(Duration::from_secs(1), nothing_once()));
    note_call("call_at", closed.call_at(1, nothing_once()));
    note_call("add_reader", closed.add_reader(0, nothing()));
    note_call("add_writer", closed.add_writer(0, nothing()));
    note_call("add_signal_handler", closed.add_signal_handler(libc::SIGUSR1, nothing()));
}

fn removals_after_close() {
    let closed = new_loop();
    closed.close().unwrap();
    note_call("remove_reader", closed.remove_reader(0));
    note_call("remove_writer", closed.remove_writer(0));
    note_call("remove_signal_handler", closed.remove_signal_handler(libc::SIGUSR1));
    note_call("stop", closed.stop());
}

/// Runs the loop, and `f` in another thread once it is running.
fn in_a_thread_beside<R: Send + 'static>(event_loop: &Loop, f: impl FnOnce() -> R + Send + 'static) -> R {
    let worker = Arc::new(Mutex::new(None));
    let place = worker.clone();
    event_loop.soon(move || *place.lock().unwrap() = Some(thread::spawn(f)));
    event_loop.run();
    let worker = worker.lock().unwrap().take().unwrap();
    worker.join().unwrap()
}

/// Ends the run of another thread, after what was given before.
fn stop_threadsafe(event_loop: &Loop) {
    let this = event_loop.clone();
    event_loop.0.call_soon_threadsafe(callback(move || this.stop())).unwrap();
}

fn call_soon_threadsafe_wakes() {
    let event_loop = Loop::new();
    let this = event_loop.clone();
    in_a_thread_beside(&event_loop, move || {
        this.0.call_soon_threadsafe(callback(|| ran("woken"))).unwrap();
        stop_threadsafe(&this);
    });
}

fn call_soon_threadsafe_order() {
    let (event_loop, seen) = (Loop::new(), Arc::new(Mutex::new(Vec::new())));
    let (this, list) = (event_loop.clone(), seen.clone());
    in_a_thread_beside(&event_loop, move || {
        for n in 0..1000 {
            let list = list.clone();
            this.0.call_soon_threadsafe(callback(move || list.lock().unwrap().push(n))).unwrap();
        }
        stop_threadsafe(&this);
    });
    note_value("in order", seen.lock().unwrap().iter().copied().eq(0..1000));
}

fn call_soon_threadsafe_between() {
    let event_loop = Loop::new();
    event_loop.soon(|| ran(1));
    event_loop.0.call_soon_threadsafe(callback(|| ran(2))).unwrap();
    event_loop.soon(|| ran(3));
    event_loop.run_a_turn();
}

fn call_soon_in_another_thread() {
    call_soon_elsewhere(&Loop::new());
}

fn call_soon_in_another_thread_in_debug_mode() {
    let event_loop = Loop::new();
    event_loop.0.set_debug(true).unwrap();
    call_soon_elsewhere(&event_loop);
}

fn call_soon_elsewhere(event_loop: &Loop) {
    let this = event_loop.clone();
    let result = in_a_thread_beside(event_loop, move || {
        let result = this.0.call_soon(callback(|| ran("from another thread")));
        stop_threadsafe(&this);
        result
    });
    // The thread itself would be in a race with the callback.
    note_all("call_soon", outcome(&result));
}

fn slow_callback() {
    listen();
    let event_loop = Loop::new();
    event_loop.0.set_debug(true).unwrap();
    event_loop.soon(|| thread::sleep(Duration::from_millis(150)));
    event_loop.ran_soon("next");
    event_loop.run_a_turn();
}

fn abstract_event_loop() {
    struct Nothing;
    impl EventLoop for Nothing {}

    let event_loop = LoopHandle::new(Nothing);
    note_call("run_forever", event_loop.run_forever());
    note_call("stop", event_loop.stop());
    note_call("close", event_loop.close());
    note_call("call_soon", event_loop.call_soon(nothing_once()));
    note_call("call_soon_threadsafe", event_loop.call_soon_threadsafe(nothing_once()));
    note_call("call_at", event_loop.call_at(0, nothing_once()));
    note_call("add_reader", event_loop.add_reader(0, nothing()));
    note_call("remove_reader", event_loop.remove_reader(0));
    note_call("add_writer", event_loop.add_writer(0, nothing()));
    note_call("remove_writer", event_loop.remove_writer(0));
    note_call("add_signal_handler", event_loop.add_signal_handler(1, nothing()));
    note_call("remove_signal_handler", event_loop.remove_signal_handler(1));
    note_call("set_exception_handler", event_loop.set_exception_handler(None));
    note_call("set_debug", event_loop.set_debug(true));
}
