//! What becomes of tasks, streams, sleeps and processes whose loop has failed, is closed, is another one, or is a parent's;
//! on each loop. One after the other in the main thread: what is left is counted, and one test forks.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::async_yields_async, reason = "what is waited for later leaves its run")]

mod every_loop;
mod main_thread;
mod util;

use std::{
    future::{pending, poll_fn},
    io,
    pin::pin,
    sync::{Arc, mpsc},
    task::{Poll, Waker},
    thread,
    time::Duration,
};

use every_loop::{block_on, repeat as on_the_loops_of_each_plugin, run};
use futures_lite::{AsyncReadExt, AsyncWriteExt, future};
use loophost::{
    JoinHandle, Options,
    io::Async,
    net::TcpListener,
    net::UnixStream,
    plugin, policy,
    process::{self, Command, Process},
    signal::{self, Arrivals},
    spawn, spawn_local,
    task::Spawner,
    time::{Interval, Sleep, interval, sleep},
};
use loophost_tests::{cdylib, trust};
use nix::{
    sys::{
        signal::{
            Signal::{SIGHUP, SIGKILL},
            kill,
        },
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, fork},
};
use util::{Holdings, exists, wait_until};

main_thread_tests![
    on_the_loops_of_each_plugin,
    a_loop_that_fails_ends_its_tasks_and_the_error_comes_out,
    closing_a_loop_ends_its_tasks,
    a_task_may_be_woken_while_its_loop_is_closed,
    what_is_spawned_on_a_closed_loop_is_dropped,
    a_local_task_is_leaked_by_another_thread,
    streams_may_be_dropped_elsewhere_while_a_run_begins,
    objects_may_be_dropped_after_their_run,
    objects_may_be_dropped_in_another_thread,
    objects_of_an_open_loop_may_be_dropped_in_another_thread,
    a_forked_child_drops_its_copies_and_the_parent_goes_on,
    a_sleep_goes_from_one_loop_to_another,
    a_reader_on_one_loop_and_a_writer_on_another,
];

const LONG: Duration = Duration::from_secs(3600);

/// Something that tasks hold.
type Held = Arc<()>;

fn assert_dropped(held: &Held) {
    assert_eq!(Arc::strong_count(held), 1);
}

/// Tasks that wait for each kind of thing, and never end by themselves.
fn spawn_waiting(held: &Held) -> Vec<JoinHandle<()>> {
    let (one, two, three, four) = (held.clone(), held.clone(), held.clone(), held.clone());
    let (near, far) = UnixStream::pair().unwrap();
    vec![
        spawn(async move {
            pending::<()>().await;
            drop(one);
        }),
        spawn(async move {
            sleep(LONG).await;
            drop(two);
        }),
        spawn(async move {
            let _ = (&near).read(&mut [0]).await;
            drop((three, far));
        }),
        spawn_local(async move {
            pending::<()>().await;
            drop(four);
        }),
    ]
}

fn assert_cancelled(tasks: Vec<JoinHandle<()>>) {
    for task in tasks {
        assert!(run(task).unwrap().unwrap_err().is_cancelled());
    }
}

/// Gives way for ever, so that the loop takes one turn after the other.
async fn go_round() {
    poll_fn(|cx| {
        cx.waker().wake_by_ref();
        Poll::<()>::Pending
    })
    .await;
}

fn a_loop_that_fails_ends_its_tasks_and_the_error_comes_out() {
    every_loop::install();
    let before = policy::get_event_loop_policy();
    let failing = plugin::load(&cdylib("loophost-fixture-failing-loop"), &trust()).unwrap();
    let holdings = Holdings::now();
    for turns in ["0", "1", "2", "5", "20"] {
        let mut options = Options::new();
        options.push("turns", turns);
        let failing = failing.new_policy(None, &options, Some(before.clone())).unwrap();
        policy::set_event_loop_policy(Some(failing));
        let held = Held::default();
        let mut tasks = Vec::new();
        let ended = run(async {
            tasks = spawn_waiting(&held);
            go_round().await;
        });
        let error = ended.unwrap_err();
        policy::set_event_loop_policy(Some(before.clone()));
        assert_eq!(error.message(), "this loop has had enough", "{turns} turns");
        assert_eq!(tasks.is_empty(), turns == "0");
        assert_dropped(&held);
        assert_cancelled(tasks);
    }
    assert_eq!(Holdings::now(), holdings);
}

/// Leaves tasks on this thread's loop, and lets them wait.
fn leave_tasks(held: &Held) -> Vec<JoinHandle<()>> {
    block_on(async {
        let tasks = spawn_waiting(held);
        // They have their first turn before this task has its second.
        spawn(async {}).await.unwrap();
        tasks
    })
    .unwrap()
}

fn close_current_loop() {
    policy::get_event_loop().unwrap().close().unwrap();
    policy::set_event_loop(None).unwrap();
}

fn closing_a_loop_ends_its_tasks() {
    let holdings = Holdings::now();
    let held = Held::default();
    let tasks = leave_tasks(&held);
    assert_eq!(Arc::strong_count(&held), 5);
    close_current_loop();
    assert_dropped(&held);
    assert_cancelled(tasks);
    assert_eq!(Holdings::now(), holdings);
}

fn a_task_may_be_woken_while_its_loop_is_closed() {
    for _ in 0..100 {
        let held = Held::default();
        let (to_thread, wakers) = mpsc::channel::<Waker>();
        let theirs = held.clone();
        let task = block_on(async {
            let task = spawn(poll_fn(move |cx| {
                let _held = &theirs;
                to_thread.send(cx.waker().clone()).unwrap();
                Poll::<()>::Pending
            }));
            spawn(async {}).await.unwrap();
            task
        })
        .unwrap();
        let waker = wakers.recv().unwrap();
        let late = waker.clone();
        let thread = thread::spawn(move || (0..100).for_each(|_| waker.wake_by_ref()));
        close_current_loop();
        thread.join().unwrap();
        assert_dropped(&held);
        late.wake();
        assert_cancelled(vec![task]);
    }
}

fn what_is_spawned_on_a_closed_loop_is_dropped() {
    let held = Held::default();
    let spawner = run(async { Spawner::current().unwrap() }).unwrap();
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let theirs = held.clone();
            spawner.spawn(async move { drop(theirs) })
        })
        .collect();
    assert_dropped(&held);
    tasks.iter().for_each(JoinHandle::abort);
    assert!(tasks.iter().all(JoinHandle::is_finished));
    assert_cancelled(tasks);
}

/// One of each thing that a loop may know of, all waited for by the time they are here.
struct Objects {
    near: UnixStream,
    far: UnixStream,
    listener: TcpListener,
    pipe: Async<io::PipeReader>,
    /// Its other end, so that it does not become ready.
    _writer: io::PipeWriter,
    sleep: Sleep,
    interval: Interval,
    process: Process,
    hangups: Arrivals,
}

impl Objects {
    async fn new() -> Self {
        let (near, far) = UnixStream::pair().unwrap();
        let (pipe, writer) = io::pipe().unwrap();
        let mut objects = Self {
            near,
            far,
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            pipe: Async::new(pipe).unwrap(),
            _writer: writer,
            sleep: sleep(LONG),
            interval: interval(LONG),
            process: Command::new("sleep").arg("3600").kill_on_drop(true).spawn().unwrap(),
            hangups: signal::signal(SIGHUP as i32).unwrap(),
        };
        assert!(future::poll_once((&objects.near).read(&mut [0])).await.is_none());
        assert!(future::poll_once(objects.listener.accept()).await.is_none());
        assert!(future::poll_once(objects.pipe.readable()).await.is_none());
        assert!(future::poll_once(&mut objects.sleep).await.is_none());
        assert!(future::poll_once(objects.interval.tick()).await.is_none());
        assert!(future::poll_once(objects.process.wait()).await.is_none());
        assert!(future::poll_once(objects.hangups.recv()).await.is_none());
        objects
    }

    fn pid(&self) -> i64 {
        self.process.child().pid()
    }
}

fn a_local_task_is_leaked_by_another_thread() {
    for is_woken in [false, true] {
        let held = Held::default();
        let theirs = held.clone();
        let task = block_on(async {
            let task = spawn_local(async move {
                let _held = theirs;
                pending::<()>().await;
            });
            if !is_woken {
                spawn(async {}).await.unwrap();
            }
            task
        })
        .unwrap();
        let event_loop = policy::get_event_loop().unwrap();
        thread::spawn(move || event_loop.close()).join().unwrap().unwrap();
        policy::set_event_loop(None).unwrap();
        assert_eq!((Arc::strong_count(&held), task.is_finished()), (2, false));
        task.abort();
    }
}

fn streams_may_be_dropped_elsewhere_while_a_run_begins() {
    for _ in 0..20 {
        let streams = block_on(async {
            let pairs: Vec<_> = (0..50).map(|_| UnixStream::pair().unwrap()).collect();
            for (near, _) in &pairs {
                assert!(future::poll_once((&*near).read(&mut [0])).await.is_none());
            }
            pairs
        })
        .unwrap();
        let dropping = thread::spawn(move || drop(streams));
        while !dropping.is_finished() {
            block_on(async {}).unwrap();
        }
        dropping.join().unwrap();
    }
    close_current_loop();
}

/// Makes objects, has them dropped, and makes sure that nothing is left.
fn nothing_is_left_of(make_and_drop: impl Fn() -> i64) {
    let gone = |pid| wait_until("the end of the process", || !exists(pid));
    // What is made once: pools of threads, the broker of signals, the watcher, and the reaper, which the first orphan makes
    // that still lives when it becomes one.
    gone(make_and_drop());
    let orphan = process::spawn(Command::new("sleep").arg("3600")).unwrap().pid();
    kill(Pid::from_raw(orphan as i32), SIGKILL).unwrap();
    gone(orphan);
    let before = Holdings::now();
    (0..10).for_each(|_| gone(make_and_drop()));
    wait_until("nothing is left", || Holdings::now().are_within(&before));
}

fn objects_may_be_dropped_after_their_run() {
    nothing_is_left_of(|| {
        let objects = run(Objects::new()).unwrap();
        objects.pid()
    });
}

fn objects_may_be_dropped_in_another_thread() {
    nothing_is_left_of(|| {
        let objects = run(Objects::new()).unwrap();
        thread::spawn(move || objects.pid()).join().unwrap()
    });
}

fn objects_of_an_open_loop_may_be_dropped_in_another_thread() {
    nothing_is_left_of(|| {
        let (objects, mut far) = block_on(async {
            let mut objects = Objects::new().await;
            let (near, far) = UnixStream::pair().unwrap();
            let far = std::mem::replace(&mut objects.far, far);
            assert!(future::poll_once((&near).read(&mut [0])).await.is_none());
            (objects, far)
        })
        .unwrap();
        let pid = thread::spawn(move || objects.pid()).join().unwrap();
        // A loop that is bound to its thread lets go of the stream when it runs.
        assert_eq!(block_on(async { far.read(&mut [0]).await }).unwrap().unwrap(), 0);
        close_current_loop();
        pid
    });
}

/// Runs `f` in a forked child, which must not panic.
fn in_a_child(f: impl FnOnce()) {
    // SAFETY: this thread is the only one that matters; glibc lets the child allocate, and it leaves by `_exit`.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            let is_fine = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_ok();
            // SAFETY: ends the child without running anything of the parent's.
            unsafe { libc::_exit(i32::from(!is_fine)) }
        }
        ForkResult::Parent { child } => {
            assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0));
        }
    }
}

fn a_forked_child_drops_its_copies_and_the_parent_goes_on() {
    let fork_and_drop = |objects: &mut Option<Objects>| {
        in_a_child(|| drop(objects.take()));
        objects.as_mut().unwrap().process.child().send_signal(0).expect("the process lives");
    };
    let use_all = async |objects: &mut Objects| {
        objects.far.write_all(b"x").await.unwrap();
        objects.near.read_exact(&mut [0]).await.unwrap();
        let address = objects.listener.local_addr().unwrap();
        let there = loophost::net::TcpStream::connect(address);
        future::try_zip(there, objects.listener.accept()).await.unwrap();
        nix::sys::signal::raise(SIGHUP).unwrap();
        objects.hangups.recv().await;
        assert!(future::poll_once(&mut objects.sleep).await.is_none());
        assert_eq!(objects.process.kill().await.unwrap().code(), None);
    };
    // Between two runs, and in the middle of one.
    let mut objects = Some(block_on(Objects::new()).unwrap());
    fork_and_drop(&mut objects);
    block_on(use_all(objects.as_mut().unwrap())).unwrap();
    close_current_loop();
    run(async {
        let mut objects = Some(Objects::new().await);
        fork_and_drop(&mut objects);
        use_all(objects.as_mut().unwrap()).await;
    })
    .unwrap();
}

fn a_sleep_goes_from_one_loop_to_another() {
    let short = Duration::from_millis(20);
    let mut moved = run(async {
        let mut moved = sleep(short);
        assert!(future::poll_once(&mut moved).await.is_none());
        moved
    })
    .unwrap();
    run(&mut moved).unwrap();
    let mut moved = block_on(async {
        let mut ticks = interval(short);
        assert!(future::poll_once(ticks.tick()).await.is_none());
        ticks
    })
    .unwrap();
    thread::spawn(move || run(async { moved.tick().await }).unwrap()).join().unwrap();
    close_current_loop();
}

fn a_reader_on_one_loop_and_a_writer_on_another() {
    every_loop::install();
    let (near, far) = UnixStream::pair().unwrap();
    let near = Arc::new(near);
    let theirs = near.clone();
    let (to_here, waits) = mpsc::channel();
    let reader = thread::spawn(move || {
        run(async {
            let mut reader = &*theirs;
            let mut byte = [0];
            let mut read = pin!(reader.read(&mut byte));
            assert!(future::poll_once(&mut read).await.is_none());
            to_here.send(()).unwrap();
            read.await
        })
        .unwrap()
    });
    waits.recv().unwrap();
    run(async {
        // Until there is no room: from now on this loop watches it.
        let mut writer = &*near;
        while let Some(written) = future::poll_once(writer.write(&[0; 4096])).await {
            written.unwrap();
        }
        (&far).write_all(b"x").await.unwrap();
        // The reader reads, whichever loop has heard of it.
        let reader = loophost::spawn_blocking(move || reader.join().unwrap());
        assert_eq!(reader.await.unwrap().unwrap(), 1);
    })
    .unwrap();
}
