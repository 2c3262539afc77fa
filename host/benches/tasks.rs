//! What a task costs: spawned, woken once, run to its end; beside tokio's current-thread runtime.
//!
//! `cargo bench -p loophost --bench tasks`
//!
//! Both take turns, 20 times; printed are nanoseconds of CPU time per task: smallest, median, largest, and the ratio of
//! the pairs.

use std::{future::poll_fn, task::Poll, time::Duration};

use nix::time::{ClockId, clock_gettime};

const RUNS: usize = 20;
const TASKS: u64 = 500_000;
/// How many live at the same time.
const BATCH: u64 = 100;

fn main() {
    let tokio = tokio::runtime::Builder::new_current_thread().build().expect("tokio's runtime can be made");
    let mut times = [const { Vec::new() }; 2];
    for run in 0..=RUNS {
        let ours =
            measure(|| loophost::run(spawn_all(|| loophost::spawn(once_woken()))).expect("the loop runs"));
        let theirs = measure(|| tokio.block_on(spawn_all(|| tokio::spawn(once_woken()))));
        // The first run warms up.
        if run > 0 {
            times[0].push(ours);
            times[1].push(theirs);
        }
    }
    let ratios: Vec<f64> = times[0].iter().zip(&times[1]).map(|(ours, theirs)| ours / theirs).collect();
    println!(
        "ns of CPU per task that is spawned, woken once and awaited, {RUNS} interleaved runs: min / median / max"
    );
    let [ours, theirs] = times;
    println!("  loophost  {}", spread(ours, 0));
    println!("  tokio     {}", spread(theirs, 0));
    println!("  ratio     {}", spread(ratios, 2));
}

async fn spawn_all<T: Future>(spawn: impl Fn() -> T) {
    // One list for all batches: glibc merges what is free, the places of all those tasks too, when it frees one.
    let mut tasks = Vec::with_capacity(BATCH as usize);
    for _ in 0..TASKS / BATCH {
        tasks.extend((0..BATCH).map(|_| spawn()));
        for task in tasks.drain(..) {
            task.await;
        }
    }
}

/// Wakes itself, and is ready the next time.
async fn once_woken() {
    let mut woken = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut woken, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn measure(f: impl FnOnce()) -> f64 {
    let cpu_time =
        || -> Duration { clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("the clock exists").into() };
    let before = cpu_time();
    f();
    (cpu_time() - before).as_nanos() as f64 / TASKS as f64
}

fn spread(mut values: Vec<f64>, digits: usize) -> String {
    values.sort_by(f64::total_cmp);
    let (first, middle, last) = (values[0], values[values.len() / 2], values[values.len() - 1]);
    format!("{first:.digits$} / {middle:.digits$} / {last:.digits$}")
}
