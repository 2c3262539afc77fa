//! The built-in loop, the same loop loaded from a `.so`, those of the plugins that bring their own, and tokio: what does the
//! boundary cost, what another loop behind it, and what do others do?
//!
//! `cargo bench -p loophost --bench event_loops [-- RUNS]`
//!
//! Each case runs in turn on all of them, so many times (20), and prints nanoseconds of CPU time per operation (of all threads of the
//! process): smallest, median, largest; then the ratio of each to the built-in loop, pair by pair.

mod on_tokio;

use std::{
    env,
    io::{Read, Write},
    iter,
    os::{fd::AsRawFd, unix::net::UnixStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::Duration,
};

use loophost::{
    Callback, Error, Fd, LoopHandle, Options, PolicyHandle, RepeatCallback, plugin,
    policy::DefaultEventLoopPolicy,
};
use loophost_tests::{LoopPlugin, loop_plugins};
use nix::time::{ClockId, clock_gettime};

/// What one case of thread-safe calls gives the loop at a time.
const BATCH: u64 = 10_000;

/// A case does this many operations on a fresh loop.
struct Case {
    name: &'static str,
    operations: u64,
    run: fn(&LoopHandle, u64),
    on_tokio: fn(u64),
    /// The plugin that is not up to it.
    without: Option<&'static str>,
}

const CASES: [Case; 6] = [
    Case {
        name: "call_soon, 24 bytes, in batches of 1,000 by a callback",
        operations: 2_000_000,
        run: call_soon,
        on_tokio: on_tokio::call_soon,
        without: None,
    },
    Case {
        name: "call_soon, 24 bytes, in batches of 1,000 while the loop is idle",
        operations: 2_000_000,
        run: call_soon_idle,
        on_tokio: on_tokio::call_soon,
        without: None,
    },
    Case {
        name: "call_at, 1,000,000 timers at once",
        operations: 1_000_000,
        run: timers,
        on_tokio: |operations| on_tokio::timers(operations, deadlines()),
        // An example: its timers are a list.
        without: Some("c-policy"),
    },
    Case {
        name: "call_soon_threadsafe, 1,000,000 in batches of 10,000",
        operations: 1_000_000,
        run: batches,
        on_tokio: |operations| on_tokio::batches(operations, BATCH),
        without: None,
    },
    Case {
        name: "call_soon_threadsafe that wakes a waiting loop, and back",
        operations: 50_000,
        run: wakes,
        on_tokio: on_tokio::wakes,
        without: None,
    },
    Case {
        name: "reader event, with read and write of a byte",
        operations: 100_000,
        run: readers,
        on_tokio: on_tokio::readers,
        without: None,
    },
];

fn main() {
    let runs = env::args().find_map(|argument| argument.parse().ok()).unwrap_or(20);
    let default = PolicyHandle::new(DefaultEventLoopPolicy::new());
    let load = |name, file: &Path| {
        let plugin = plugin::load(file, &loophost_tests::trust()).expect("the plugin can be loaded");
        let policy = plugin.new_policy(None, &Options::new(), Some(default.clone()));
        (name, policy.expect("the plugin makes its policy"))
    };
    let mut policies = vec![("built in", default.clone())];
    policies.push(load("from .so", &loophost_tests::cdylib("selector-policy")));
    for LoopPlugin { name, file } in loop_plugins() {
        policies.push(load(name, &file));
    }

    println!("ns of CPU per operation, {runs} interleaved runs: min / median / max");
    for case in CASES {
        println!("{}", case.name);
        let on_policies = policies.iter().filter(|(name, _)| case.without != Some(name));
        let subjects: Vec<_> =
            on_policies.map(|(name, policy)| (*name, Some(policy))).chain([("tokio", None)]).collect();
        let mut times = vec![Vec::new(); subjects.len()];
        for run in 0..runs + 1 {
            for (times, (_, policy)) in times.iter_mut().zip(&subjects) {
                let time = measure(&case, *policy);
                // The first run warms up.
                if run > 0 {
                    times.push(time);
                }
            }
        }
        let built_in = times[0].clone();
        for ((name, _), times) in subjects.iter().zip(times) {
            let ratios = times.iter().zip(&built_in).map(|(time, built_in)| time / built_in).collect();
            println!("  {name:8}    {:28}  × {}", spread(times, 1), spread(ratios, 3));
        }
    }
}

/// `None`: tokio.
fn measure(case: &Case, policy: Option<&PolicyHandle>) -> f64 {
    let Some(policy) = policy else {
        return cpu_time_of(case, || (case.on_tokio)(case.operations));
    };
    let event_loop = policy.new_event_loop().expect("the policy makes a loop");
    let time = cpu_time_of(case, || (case.run)(&event_loop, case.operations));
    event_loop.close().expect("the loop can be closed");
    time
}

/// For each operation of the case.
fn cpu_time_of(case: &Case, f: impl FnOnce()) -> f64 {
    let before = cpu_time();
    f();
    (cpu_time() - before).as_nanos() as f64 / case.operations as f64
}

fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("the clock exists").into()
}

fn spread(mut values: Vec<f64>, digits: usize) -> String {
    values.sort_by(f64::total_cmp);
    let (first, last) = (values[0], values[values.len() - 1]);
    format!("{first:.digits$} / {:.digits$} / {last:.digits$}", median(&values))
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

fn call_soon(event_loop: &LoopHandle, operations: u64) {
    for batch in 0..operations / 1000 {
        let there = event_loop.clone();
        event_loop.call_soon(Callback::new(move |_| give_batch(&there, batch))).expect("the loop is open");
        for _ in 0..2 {
            event_loop.run_once(Some(Duration::ZERO)).expect("the loop runs");
        }
    }
}

fn call_soon_idle(event_loop: &LoopHandle, operations: u64) {
    for batch in 0..operations / 1000 {
        give_batch(event_loop, batch).expect("the loop is open");
        event_loop.run_once(Some(Duration::ZERO)).expect("the loop runs");
    }
}

fn give_batch(event_loop: &LoopHandle, batch: u64) -> Result<(), Error> {
    static SUM: AtomicU64 = AtomicU64::new(0);
    for n in 0..1000 {
        let captured = (batch, n, n);
        event_loop.call_soon(Callback::new(move |_| {
            SUM.store(captured.0 + captured.1 + captured.2, Relaxed);
            Ok(())
        }))?;
    }
    Ok(())
}

fn timers(event_loop: &LoopHandle, operations: u64) {
    let ran = Arc::new(AtomicU64::new(0));
    let now = event_loop.time();
    for deadline in deadlines().take(operations as usize) {
        let count = ran.clone();
        let callback = Callback::new(move |_| {
            count.fetch_add(1, Relaxed);
            Ok(())
        });
        event_loop.call_at(now + deadline, callback).expect("the loop is open");
    }
    while ran.load(Relaxed) < operations {
        event_loop.run_once(None).expect("the loop runs");
    }
}

/// Nanoseconds, in no order, all of them in the next millisecond. A generator of Knuth's.
fn deadlines() -> impl Iterator<Item = u64> {
    let next = |random: &u64| {
        Some(random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
    };
    iter::successors(Some(1), next).skip(1).map(|random: u64| random >> 44)
}

fn batches(event_loop: &LoopHandle, operations: u64) {
    let (ask, asked) = mpsc::sync_channel(0);
    let (tell, told) = mpsc::sync_channel(0);
    let there = event_loop.clone();
    let other = thread::spawn(move || {
        while asked.recv().is_ok() {
            for _ in 0..BATCH {
                there.call_soon_threadsafe(Callback::new(|_| Ok(()))).expect("the loop is open");
            }
            tell.send(()).expect("the loop's thread waits for it");
        }
    });
    for _ in 0..operations / BATCH {
        ask.send(()).expect("the thread lives");
        told.recv().expect("the thread lives");
        event_loop.run_once(Some(Duration::ZERO)).expect("the loop runs");
    }
    drop(ask);
    other.join().expect("the thread has not panicked");
}

fn wakes(event_loop: &LoopHandle, operations: u64) {
    let (tell, told) = mpsc::sync_channel(0);
    let there = event_loop.clone();
    let other = thread::spawn(move || {
        for _ in 0..operations {
            let tell = tell.clone();
            let answer = Callback::new(move |_| {
                tell.send(()).expect("the other thread waits for it");
                Ok(())
            });
            there.call_soon_threadsafe(answer).expect("the loop is open");
            told.recv().expect("the loop answers");
        }
        let at_end = there.clone();
        there.call_soon_threadsafe(Callback::new(move |_| at_end.stop())).expect("the loop is open");
    });
    event_loop.run_forever().expect("the loop runs");
    other.join().expect("the thread has not panicked");
}

fn readers(event_loop: &LoopHandle, operations: u64) {
    let (mut near, mut far) = UnixStream::pair().expect("a pair of sockets");
    near.write_all(b"x").expect("the socket has room");
    let (l, mut left, fd) = (event_loop.clone(), operations, Fd::from(far.as_raw_fd()));
    let callback = RepeatCallback::new(move |_| {
        far.read_exact(&mut [0]).map_err(|error| Error::os(&error, "reading"))?;
        left -= 1;
        if left == 0 {
            return l.stop();
        }
        near.write_all(b"x").map_err(|error| Error::os(&error, "writing"))
    });
    event_loop.add_reader(fd, callback).expect("the descriptor can be watched");
    event_loop.run_forever().expect("the loop runs");
    event_loop.remove_reader(fd).expect("the loop is open");
}
