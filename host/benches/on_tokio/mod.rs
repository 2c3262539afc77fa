//! The cases of `event_loops` as one would write them for tokio, on its runtime of one thread.

use std::{
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    runtime::{Builder, Handle, Runtime},
    time::{Instant, sleep_until},
};

static SUM: AtomicU64 = AtomicU64::new(0);

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime can be made")
}

/// Tasks.
pub(super) fn call_soon(operations: u64) {
    runtime().block_on(async {
        for batch in 0..operations / 1000 {
            for n in 1..1000 {
                tokio::spawn(async move { SUM.store(batch + n + operations, Relaxed) });
            }
            tokio::spawn(async move { SUM.store(batch + operations, Relaxed) }).await.expect("it runs");
        }
    });
}

/// Tasks that sleep.
pub(super) fn timers(operations: u64, deadlines: impl Iterator<Item = u64>) {
    runtime().block_on(async {
        let now = Instant::now();
        let sleep = |after| tokio::spawn(sleep_until(now + Duration::from_nanos(after)));
        let tasks: Vec<_> = deadlines.take(operations as usize).map(sleep).collect();
        for task in tasks {
            task.await.expect("it runs");
        }
    });
}

/// Tasks that another thread spawns, a batch at a time.
pub(super) fn batches(operations: u64, batch: u64) {
    let runtime = runtime();
    let (ask, asked) = mpsc::sync_channel(0);
    let (tell, told) = mpsc::sync_channel(0);
    let there = runtime.handle().clone();
    let other = thread::spawn(move || {
        while asked.recv().is_ok() {
            for _ in 1..batch {
                there.spawn(async { SUM.store(1, Relaxed) });
            }
            tell.send(there.spawn(async { SUM.store(1, Relaxed) }))
                .expect("the runtime's thread waits for it");
        }
    });
    for _ in 0..operations / batch {
        ask.send(()).expect("the thread lives");
        let last = told.recv().expect("the thread lives");
        runtime.block_on(last).expect("it runs");
    }
    drop(ask);
    other.join().expect("the thread has not panicked");
}

/// A task of another thread's that answers it.
pub(super) fn wakes(operations: u64) {
    runtime().block_on(async {
        let there = Handle::current();
        let other = tokio::task::spawn_blocking(move || {
            let (tell, told) = mpsc::sync_channel(0);
            for _ in 0..operations {
                let tell = tell.clone();
                there.spawn(async move { tell.send(()).expect("the other thread waits for it") });
                told.recv().expect("the runtime answers");
            }
        });
        other.await.expect("it has not panicked");
    });
}

/// A task that waits for a byte, and sends the next. With room for more, so that it knows that there is nothing left and
/// waits for an event each time.
pub(super) fn readers(operations: u64) {
    runtime().block_on(async {
        let (mut near, mut far) = UnixStream::pair().expect("a pair of sockets");
        for _ in 0..operations {
            near.write_all(b"x").await.expect("the socket has room");
            assert_eq!(far.read(&mut [0; 16]).await.expect("the socket is open"), 1);
        }
    });
}
