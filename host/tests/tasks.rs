//! Tasks, timers and the running of futures, on each loop, in threads of their own.

mod every_loop;

use std::{
    cell::{Cell, RefCell},
    future::{pending, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    sync::{Arc, atomic::AtomicUsize, atomic::Ordering::SeqCst, mpsc},
    task::{Context, Poll, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

use every_loop::{block_on, run};
use loophost::{
    ErrorCode, policy, spawn, spawn_blocking, spawn_local,
    task::{Spawner, yield_now},
    time::{interval, sleep, timeout},
};

/// Counts how often it is dropped.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn on_the_loops_of_each_plugin() {
    every_loop::repeat();
}

#[test]
fn a_future_may_borrow_and_gives_its_output() {
    let text = String::from("borrowed");
    assert_eq!(run(async { text.len() }).unwrap(), 8);
    assert_eq!(block_on(async { &text[..3] }).unwrap(), "bor");
}

#[test]
fn tasks_take_turns_in_the_order_of_their_spawning() {
    let order = run(async {
        let order = Rc::new(RefCell::new(Vec::new()));
        let tasks: Vec<_> = (0..3)
            .map(|n| {
                let order = order.clone();
                spawn_local(async move {
                    for turn in 0..2 {
                        order.borrow_mut().push((turn, n));
                        yield_now().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        order.take()
    });
    assert_eq!(order.unwrap(), [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]);
}

#[test]
fn a_panic_in_a_task_is_a_value_and_the_loop_lives() {
    let (text, after) = run(async {
        let error = spawn(async { panic!("task 7") }).await.unwrap_err();
        assert!(error.is_panic() && !error.is_cancelled());
        let text = error.to_string();
        let payload = error.try_into_panic().unwrap();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"task 7"));
        (text, spawn(async { "alive" }).await.unwrap())
    })
    .unwrap();
    assert_eq!((text.as_str(), after), ("the task has panicked: task 7", "alive"));
}

#[test]
fn a_panic_of_the_main_future_comes_out_and_the_thread_can_run_again() {
    let payload = catch_unwind(|| run(async { panic!("main") })).unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"main"));
    assert_eq!(run(async { 1 }).unwrap(), 1);
}

#[test]
fn an_aborted_task_drops_its_future_and_says_so() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let guard = Dropped(dropped.clone());
    run(async {
        let task = spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        yield_now().await;
        assert!(!task.is_finished());
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(dropped.load(SeqCst), 1);
        let finished = spawn(async { 3 });
        while !finished.is_finished() {
            yield_now().await;
        }
        finished.abort();
        assert_eq!(finished.await.unwrap(), 3, "what is finished stays finished");
    })
    .unwrap();
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !thread::panicking() {
            panic!("dropped");
        }
    }
}

#[test]
fn a_panic_while_a_task_is_dropped_is_nobody_else_s() {
    let held = Arc::new(AtomicUsize::new(0));
    let other = Dropped(held.clone());
    let output = run(async {
        let bomb = Bomb;
        let task = spawn(async move {
            let _bomb = bomb;
            pending::<()>().await;
        });
        spawn(async move {
            let _other = other;
            pending::<()>().await;
        });
        yield_now().await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        // Nobody wants its output, nor what it panics with.
        drop(spawn(async { Bomb }));
        drop(spawn(async { std::panic::panic_any(Bomb) }));
        yield_now().await;
        drop(spawn(async { Bomb }));
        spawn_local(async {
            let _bomb = Bomb;
            pending::<()>().await;
        });
        yield_now().await;
        7
    });
    assert_eq!(output.unwrap(), 7);
    assert_eq!(held.load(SeqCst), 1);
}

#[test]
fn tasks_may_be_aborted_elsewhere_while_a_run_ends() {
    for _ in 0..20 {
        let (aborting, is_aborting) = mpsc::channel();
        let mut elsewhere = None;
        let output = run(async {
            let tasks: Vec<_> = (0..1000).map(|_| spawn(pending::<()>())).collect();
            yield_now().await;
            elsewhere = Some(thread::spawn(move || {
                aborting.send(()).unwrap();
                tasks.iter().for_each(|task| task.abort());
            }));
            is_aborting.recv().unwrap();
            7
        });
        assert_eq!(output.unwrap(), 7);
        elsewhere.unwrap().join().unwrap();
    }
}

/// Also in the moment between the look at whether a task that has a turn was aborted, and its poll.
#[test]
fn no_abort_from_elsewhere_is_lost() {
    let aborted = run(async {
        let spawner = Spawner::current().unwrap();
        let elsewhere = thread::spawn(move || {
            let task_of = |round: u32| {
                let task = spawner.spawn(pending::<()>());
                for _ in 0..round % 4000 {
                    std::hint::spin_loop();
                }
                task.abort();
                task
            };
            (0..10_000).map(task_of).collect::<Vec<_>>()
        });
        let mut aborted = 0;
        for task in spawn_blocking(|| elsewhere.join().unwrap()).await.unwrap() {
            let ended = timeout(Duration::from_secs(60), task).await;
            aborted += usize::from(ended.is_ok_and(|output| output.unwrap_err().is_cancelled()));
        }
        aborted
    });
    assert_eq!(aborted.unwrap(), 10_000);
}

#[test]
fn an_abort_reaches_no_other_task() {
    run(async {
        let first = spawn(async {});
        while !first.is_finished() {
            yield_now().await;
        }
        // In the place that the first has left.
        let second = spawn(async {
            yield_now().await;
            5
        });
        first.abort();
        assert_eq!(second.await.unwrap(), 5);
    })
    .unwrap();
}

#[test]
fn run_aborts_the_tasks_that_are_left_and_block_on_keeps_them() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let leave = |future: bool| {
        let guard = Dropped(dropped.clone());
        drop(spawn(async move {
            let _guard = guard;
            if future { pending::<()>().await } else { sleep(Duration::from_millis(1)).await }
        }));
    };
    run(async {
        leave(true);
        leave(true);
        yield_now().await;
        leave(true);
    })
    .unwrap();
    assert_eq!(dropped.load(SeqCst), 3);
    thread::scope(|scope| {
        scope.spawn(|| {
            block_on(async { leave(false) }).unwrap();
            assert_eq!(dropped.load(SeqCst), 3);
            block_on(async {
                while dropped.load(SeqCst) == 3 {
                    sleep(Duration::from_millis(1)).await;
                }
            })
            .unwrap();
            policy::get_event_loop().unwrap().close().unwrap();
        });
    });
}

#[test]
fn an_aborted_task_that_others_wait_for_ends_them_too() {
    let ended = run(async {
        let inner = spawn(pending::<()>());
        let outer = spawn(async move { inner.await.unwrap_err().is_cancelled() });
        yield_now().await;
        outer.abort();
        outer.await.unwrap_err().is_cancelled()
    });
    assert!(ended.unwrap());
}

#[test]
fn nested_runs_are_refused_with_advice() {
    run(async {
        for error in [run(async {}).unwrap_err(), block_on(async {}).unwrap_err()] {
            assert_eq!(error.code(), ErrorCode::LOOP_RUNNING);
            assert!(error.message().ends_with("await the future there, or spawn it"), "{error}");
        }
    })
    .unwrap();
}

#[test]
fn a_loop_that_is_stopped_too_early_is_an_error() {
    let error = run(async {
        policy::get_running_loop().unwrap().stop().unwrap();
        pending::<()>().await;
    });
    assert_eq!(error.unwrap_err().code(), ErrorCode::LOOP_STOPPED);
}

#[test]
fn spawning_without_a_loop_says_what_to_do() {
    let payload = catch_unwind(|| spawn(async {})).unwrap_err();
    let text = payload.downcast_ref::<String>().unwrap();
    assert_eq!(
        text,
        "no event loop is running in this thread: spawn inside of loophost::run, or with a Spawner"
    );
}

#[test]
fn several_loops_in_several_threads_wake_each_other() {
    let (to_first, first) = mpsc::channel::<Spawner>();
    let (to_second, second) = mpsc::channel::<Spawner>();
    let play = |mine: mpsc::Sender<Spawner>, other: mpsc::Receiver<Spawner>| {
        move || {
            run(async move {
                mine.send(Spawner::current().unwrap()).unwrap();
                let other = spawn_blocking(move || other.recv().unwrap()).await.unwrap();
                let mut sum = 0;
                for n in 0..1_000 {
                    let id = thread::current().id();
                    sum += other
                        .spawn(async move {
                            assert_ne!(thread::current().id(), id);
                            n
                        })
                        .await
                        .unwrap_or(n);
                }
                sum
            })
            .unwrap()
        }
    };
    let threads = [thread::spawn(play(to_first, second)), thread::spawn(play(to_second, first))];
    for thread in threads {
        assert_eq!(thread.join().unwrap(), 499_500);
    }
}

#[test]
fn a_closed_loop_ends_what_is_spawned_on_it() {
    let spawner = run(async { Spawner::current().unwrap() }).unwrap();
    let task = spawner.spawn(async { 1 });
    assert!(run(task).unwrap().unwrap_err().is_cancelled());
}

#[test]
fn a_waker_that_outlives_its_loop_does_no_harm() {
    let kept: RefCell<Option<Waker>> = RefCell::default();
    run(poll_fn(|cx| {
        kept.replace(Some(cx.waker().clone()));
        Poll::Ready(())
    }))
    .unwrap();
    let waker = kept.take().unwrap();
    waker.wake_by_ref();
    thread::spawn(move || waker.wake()).join().unwrap();
}

#[test]
fn a_waker_that_panics_holds_up_no_other_task() {
    struct Panics(AtomicUsize);
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
            panic!("in a waker");
        }
    }
    run(async {
        let panics = Arc::new(Panics(AtomicUsize::new(0)));
        let mut doomed = sleep(Duration::from_millis(1));
        let poll = Pin::new(&mut doomed).poll(&mut Context::from_waker(&panics.clone().into()));
        assert!(poll.is_pending());
        while panics.0.load(SeqCst) == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(spawn(async { 1 }).await.unwrap(), 1);
    })
    .unwrap();
}

#[test]
fn sleeps_end_in_the_order_of_their_times() {
    let order = run(async {
        let order = Rc::new(RefCell::new(Vec::new()));
        let begin = Instant::now();
        let tasks = [30, 10, 20].map(|ms| {
            let order = order.clone();
            spawn_local(async move {
                sleep(Duration::from_millis(ms)).await;
                order.borrow_mut().push(ms);
            })
        });
        for task in tasks {
            task.await.unwrap();
        }
        assert!(begin.elapsed() >= Duration::from_millis(30));
        order.take()
    });
    assert_eq!(order.unwrap(), [10, 20, 30]);
}

#[test]
fn times_that_are_over_or_never_come() {
    run(async {
        sleep(Duration::ZERO).await;
        loophost::time::sleep_until(Instant::now() - Duration::from_nanos(1)).await;
        for far in [Duration::MAX, Duration::from_secs(u64::MAX / 4), Duration::from_secs(3_000_000_000)] {
            assert!(timeout(Duration::from_millis(1), sleep(far)).await.is_err());
        }
    })
    .unwrap();
}

#[test]
fn a_dropped_sleep_leaves_no_timer() {
    run(async {
        let event_loop = policy::get_running_loop().unwrap();
        let _ = timeout(Duration::from_millis(1), sleep(Duration::from_secs(3600))).await;
        yield_now().await;
        event_loop.next_deadline()
    })
    .unwrap()
    .map_or_else(
        |error| assert_eq!(error.code(), ErrorCode::NOT_SUPPORTED),
        |deadline| assert_eq!(deadline, u64::MAX),
    );
}

#[test]
fn a_timeout_gives_what_is_ready_or_says_that_time_is_over() {
    run(async {
        assert_eq!(timeout(Duration::ZERO, async { 1 }).await, Ok(1));
        let error: std::io::Error =
            timeout(Duration::from_millis(1), pending::<()>()).await.unwrap_err().into();
        assert_eq!((error.kind(), error.to_string().as_str()), (std::io::ErrorKind::TimedOut, "timed out"));
    })
    .unwrap();
}

#[test]
fn an_interval_stays_on_its_grid() {
    run(async {
        let period = Duration::from_millis(5);
        let mut interval = interval(period);
        let first = interval.tick().await;
        // At least two ticks are missed.
        thread::sleep(period * 5 / 2);
        let late = interval.tick().await;
        let next = interval.tick().await;
        assert!(next >= first + period * 3, "those that were missed are skipped: {:?}", next - first);
        for tick in [late, next] {
            assert_eq!(
                (tick - first).as_nanos() % period.as_nanos(),
                0,
                "{:?} after the first",
                tick - first
            );
        }
    })
    .unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| interval(Duration::ZERO))).is_err());
}

#[test]
fn blocking_calls_run_elsewhere_and_their_panics_are_values() {
    run(async {
        let here = thread::current().id();
        let there = spawn_blocking(move || thread::current().id()).await.unwrap();
        assert_ne!(here, there);
        let error = spawn_blocking(|| panic!("in the pool")).await.unwrap_err();
        assert_eq!(error.to_string(), "the task has panicked: in the pool");
    })
    .unwrap();
}

#[test]
fn a_join_that_is_given_up_leaves_the_task_alone() {
    run(async {
        let mut task = spawn(async {
            yield_now().await;
            1
        });
        assert!(timeout(Duration::ZERO, &mut task).await.is_err());
        assert_eq!(task.await.unwrap(), 1);
        let (go, wait) = mpsc::channel();
        let mut blocking = spawn_blocking(move || wait.recv().unwrap());
        assert!(timeout(Duration::from_millis(1), &mut blocking).await.is_err());
        go.send(2).unwrap();
        assert_eq!(blocking.await.unwrap(), 2);
    })
    .unwrap();
}

#[test]
fn local_tasks_share_what_is_not_for_other_threads() {
    let count = Rc::new(Cell::new(0));
    run(async {
        for task in (0..10).map(|n| {
            let count = count.clone();
            spawn_local(async move { count.set(count.get() + n) })
        }) {
            task.await.unwrap();
        }
    })
    .unwrap();
    assert_eq!((count.get(), Rc::strong_count(&count)), (45, 1));
}
