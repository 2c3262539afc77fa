//! What does the exit of a child cost, on each watcher, beside others that live on? And on io_uring, where that works: as a
//! reader of its loop, and as an operation in its two ways.
//!
//! `cargo bench -p loophost --bench child_watchers [-- LIVE…]`, with so many other children (0, 1000, 4000).
//!
//! From the signal that ends the child to its handler on the loop: microseconds of CPU time of this process with all its
//! threads, smallest, median, largest. The spawn is not part of it, nor is what the kernel does in the child.

mod tiny_program;

use std::{
    env,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use loophost::{
    Callback, Error, LoopHandle, Options, PolicyHandle,
    builtin::watchers,
    plugin,
    policy::{self, DefaultEventLoopPolicy},
    process::{Child, Command, subprocess_exec},
};
use loophost_tests::{cdylib, io_uring_works, trust};
use nix::{
    sys::resource::{Resource, getrlimit, setrlimit},
    time::{ClockId, clock_gettime},
};

const EXITS: usize = 300;
const WATCHERS: [&str; 5] = ["pidfd", "threaded", "fast", "safe", "multi-loop"];

fn main() {
    let mut live: Vec<usize> = env::args().filter_map(|argument| argument.parse().ok()).collect();
    if live.is_empty() {
        live = vec![0, 1000, 4000];
    }
    // A child takes up to two descriptors.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit can be read");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("it may be raised up to its maximum");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let program = folder.path().join("waits");
    tiny_program::write(&program, tiny_program::WAITS);

    println!("µs of CPU per exit, {EXITS} of them: min / median / max");
    let default = || PolicyHandle::new(DefaultEventLoopPolicy::new());
    let mut policies: Vec<_> = WATCHERS.map(|name| (name.to_owned(), default(), Some(name))).into();
    if io_uring_works() {
        let plugin = plugin::load(&cdylib("loophost-uring"), &trust()).expect("it can be loaded");
        for (wait, watcher) in [("poll", Some("pidfd")), ("poll", None), ("waitid", None)] {
            let mut options = Options::new();
            options.push("wait", wait);
            let policy = plugin.new_policy(None, &options, Some(default())).expect("it works here");
            policies.push((format!("uring, {}", watcher.unwrap_or(wait)), policy, watcher));
        }
    }
    for (name, policy, watcher) in policies {
        policy::set_event_loop_policy(Some(policy));
        for live in &live {
            println!("  {name:13} beside {live:5}  {}", spread(measure(watcher, *live, &program)));
        }
    }
}

/// `None` is the watcher that the policy makes itself.
fn measure(name: Option<&str>, live: usize, program: &Path) -> Vec<f64> {
    let policy = policy::get_event_loop_policy();
    let watcher = match name {
        Some(name) => watchers::new(name, &Options::new()).expect("it is built in"),
        None => policy.get_child_watcher().expect("the policy has one"),
    };
    let event_loop = policy::new_event_loop().expect("a loop can be made");
    watcher.attach_loop(Some(event_loop.clone())).expect("the loop is not closed");
    policy.set_child_watcher(Some(watcher.clone())).expect("the previous one can be closed");
    let exits = Arc::new(AtomicUsize::new(0));
    let start = || start(&event_loop, program, &exits);
    let end = |child: &Child| {
        let before = exits.load(SeqCst);
        child.kill().expect("it lives");
        while exits.load(SeqCst) == before {
            event_loop.run_once(None).expect("the loop works");
        }
    };
    let others: Vec<_> = (0..live).map(|_| start()).collect();
    let times = (0..EXITS).map(|_| {
        let child = start();
        let before = cpu_time();
        end(&child);
        (cpu_time() - before).as_nanos() as f64 / 1000.0
    });
    let times = times.collect();
    others.iter().for_each(end);
    // It stays: the next measurement may be about the same.
    watcher.close().expect("it can be closed");
    event_loop.close().expect("it does not run");
    times
}

/// Starts a child inside the running loop, as the watchers want it.
fn start(event_loop: &LoopHandle, program: &Path, exits: &Arc<AtomicUsize>) -> Child {
    let (tell, told) = std::sync::mpsc::channel();
    let (here, command, exits) = (event_loop.clone(), Command::new(program), exits.clone());
    let start = Callback::new(move |_| {
        let on_exit = Callback::new(move |_| {
            exits.fetch_add(1, SeqCst);
            Ok(())
        });
        let child = subprocess_exec(&here, command, on_exit);
        tell.send(child).map_err(|_| Error::invalid_argument("nobody waits for the child"))
    });
    event_loop.call_soon(start).expect("the loop is open");
    event_loop.run_once(Some(Duration::ZERO)).expect("the loop works");
    told.recv().expect("the callback was called").expect("it starts")
}

/// Of this process.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("the clock is there").into()
}

fn spread(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    format!("{:.0} / {:.0} / {:.0}", values[0], values[values.len() / 2], values[values.len() - 1])
}
