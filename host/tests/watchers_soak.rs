//! Very many children on each watcher: every status is right, and nothing is left. `LOOPHOST_FULL=1` for ten thousand.
//! One after the other in the main thread, as this is about all that the process holds.

#![allow(clippy::unwrap_used, reason = "tests")]

mod main_thread;
mod util;

use std::{
    env,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use loophost::{Callback, Error, LoopHandle, Options, builtin::watchers, policy, process::subprocess_exec};
use util::{Holdings, new_loop, resident_kib, run_until, sh};

main_thread_tests![safe, fast, polite_fast, multi_loop, threaded, pidfd];

/// How many children live at a time.
const AT_ONCE: usize = 200;

/// What the allocator and the kernel's rounding may make of it: with ten thousand children a hundred bytes for each.
const SLACK_KIB: u64 = 1024;

fn safe() {
    soak("safe", &Options::new());
}

fn fast() {
    soak("fast", &Options::new());
}

fn polite_fast() {
    let mut options = Options::new();
    options.push("polite", "true");
    soak("fast", &options);
}

fn multi_loop() {
    soak("multi-loop", &Options::new());
}

fn threaded() {
    soak("threaded", &Options::new());
}

fn pidfd() {
    soak("pidfd", &Options::new());
}

fn soak(watcher: &str, options: &Options) {
    let (all, warm_up) = if env::var_os("LOOPHOST_FULL").is_some() { (10_000, 1_000) } else { (600, 400) };
    let (watcher, event_loop) = (watchers::new(watcher, options).unwrap(), new_loop());
    watcher.attach_loop(Some(event_loop.clone())).unwrap();
    policy::get_event_loop_policy().set_child_watcher(Some(watcher)).unwrap();
    // What is made once, and what the allocator keeps.
    Round::run(&event_loop, warm_up);
    let (held, resident) = (Holdings::now(), resident_kib());
    Round::run(&event_loop, all);
    run_until(&event_loop, "nothing is left", || Holdings::now().are_within(&held));
    let grown = resident_kib().saturating_sub(resident);
    assert!(grown <= SLACK_KIB, "{grown} KiB more after {all} children");
    policy::get_event_loop_policy().set_child_watcher(None).unwrap();
    event_loop.close().unwrap();
}

/// So many children, the n-th of which exits with n or is ended by a signal.
struct Round {
    event_loop: LoopHandle,
    all: usize,
    started: AtomicUsize,
    ended: AtomicUsize,
    wrong: Mutex<Vec<String>>,
}

impl Round {
    fn run(event_loop: &LoopHandle, all: usize) {
        let round = Arc::new(Self {
            event_loop: event_loop.clone(),
            all,
            started: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            wrong: Mutex::default(),
        });
        let first = round.clone();
        let start = Callback::new(move |_| (0..AT_ONCE.min(all)).try_for_each(|_| first.start()));
        event_loop.call_soon(start).unwrap();
        event_loop.run_forever().unwrap();
        let ended = round.ended.load(SeqCst);
        assert_eq!((ended, &*round.wrong.lock().unwrap()), (all, &Vec::new()));
    }

    fn start(self: &Arc<Self>) -> Result<(), Error> {
        let n = self.started.fetch_add(1, SeqCst);
        if n >= self.all {
            return Ok(());
        }
        let (script, expected) = match n % 10 {
            0 => ("kill -KILL $$".to_owned(), -9),
            _ => (format!("exit {}", n % 256), (n % 256) as i64),
        };
        let round = self.clone();
        let on_exit = Callback::new(move |event| round.exited(n, expected, event.result));
        let child = subprocess_exec(&self.event_loop, sh(&script), on_exit);
        child.map(drop).map_err(|error| Error::invalid_argument(error.to_string()))
    }

    fn exited(self: &Arc<Self>, n: usize, expected: i64, returncode: i64) -> Result<(), Error> {
        if returncode != expected {
            self.wrong.lock().unwrap().push(format!("child {n}: {returncode}, not {expected}"));
        }
        if self.ended.fetch_add(1, SeqCst) + 1 == self.all {
            // A second exit of any child would come in the turns after that.
            let stop = self.event_loop.clone();
            return self.event_loop.call_later(Duration::ZERO, Callback::new(move |_| stop.stop())).map(drop);
        }
        self.start()
    }
}
