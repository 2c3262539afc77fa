//! What every loop around a selector does, row by row. Each case runs on the built-in loop, on the same one out of a
//! `.so`, and on the loop of the plugin `poll`.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    cell::RefCell,
    io::{Read, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use loophost::{
    Callback, Error, ErrorCode, EventKind, Fd, HandleId, Interest, LoopHandle, Options, PolicyHandle,
    RepeatCallback, Stat, builtin, plugin, policy::DefaultEventLoopPolicy,
};

/// How long a case may wait for something that should happen at once.
const PATIENCE: Duration = Duration::from_secs(60);

type Case = fn(&LoopHandle);

/// Runs a case on a fresh loop of each kind, and closes it.
fn on_each_loop(case: Case) {
    let default = PolicyHandle::new(DefaultEventLoopPolicy::new());
    let from_file = |package| {
        let plugin = plugin::load(&loophost_tests::cdylib(package), &loophost_tests::trust()).unwrap();
        plugin.new_policy(None, &Options::new(), Some(default.clone())).unwrap()
    };
    for policy in [default.clone(), from_file("selector-policy"), from_file("loophost-poll")] {
        let event_loop = policy.new_event_loop().unwrap();
        case(&event_loop);
        event_loop.close().unwrap();
    }
}

macro_rules! cases {
    ($($(#[$doc:meta])* fn $name:ident($loop:ident) $body:block)*) => {
        $(
            $(#[$doc])*
            #[test]
            fn $name() {
                fn case($loop: &LoopHandle) $body
                on_each_loop(case);
            }
        )*
    };
}

/// A list that callbacks add to.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, text: impl ToString) {
        self.0.lock().unwrap().push(text.to_string());
    }

    fn callback(&self, text: &'static str) -> Callback {
        let log = self.clone();
        Callback::new(move |_| {
            log.add(text);
            Ok(())
        })
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Ends a test instead of letting it hang.
fn guard_against_hanging(event_loop: &LoopHandle) -> HandleId {
    event_loop.call_later(PATIENCE, Callback::new(|_| panic!("waited too long"))).unwrap()
}

fn stop_later(event_loop: &LoopHandle) -> Callback {
    let event_loop = event_loop.clone();
    Callback::new(move |_| event_loop.stop())
}

fn turn(event_loop: &LoopHandle) {
    event_loop.run_once(Some(Duration::ZERO)).unwrap();
}

fn turns_until(event_loop: &LoopHandle, mut done: impl FnMut() -> bool) {
    while !done() {
        event_loop.run_once(Some(PATIENCE)).unwrap();
    }
}

fn fd(stream: &UnixStream) -> Fd {
    Fd::from(stream.as_raw_fd())
}

fn pair() -> (UnixStream, UnixStream) {
    let (a, b) = UnixStream::pair().unwrap();
    a.set_nonblocking(true).unwrap();
    b.set_nonblocking(true).unwrap();
    (a, b)
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorCode {
    result.unwrap_err().code()
}

/// Calls a closure when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

cases! {
    fn callbacks_run_in_order_and_new_ones_in_the_next_turn(event_loop) {
        let log = Log::default();
        let (l, inner) = (event_loop.clone(), log.clone());
        event_loop.call_soon(Callback::new(move |event| {
            assert_eq!(event.kind(), EventKind::SOON);
            inner.add("first");
            l.call_soon(inner.callback("third"))?;
            Ok(())
        })).unwrap();
        event_loop.call_soon(log.callback("second")).unwrap();
        turn(event_loop);
        assert_eq!(log.take(), ["first", "second"]);
        turn(event_loop);
        assert_eq!(log.take(), ["third"]);
    }

    fn callbacks_given_in_either_way_run_in_one_order(event_loop) {
        let log = Log::default();
        let (near, mut far) = pair();
        far.write_all(b"x").unwrap();
        let (l, seen, me) = (event_loop.clone(), log.clone(), fd(&near));
        event_loop.add_reader(me, RepeatCallback::new(move |_| {
            seen.add("reader");
            l.remove_reader(me).map(drop)
        })).unwrap();
        event_loop.call_at(0, log.callback("timer")).unwrap();
        event_loop.call_soon(log.callback("1")).unwrap();
        event_loop.call_soon_threadsafe(log.callback("2")).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| event_loop.call_soon_threadsafe(log.callback("3")).unwrap());
        });
        event_loop.call_soon(log.callback("4")).unwrap();
        event_loop.call_soon_threadsafe(log.callback("5")).unwrap();
        turn(event_loop);
        assert_eq!(log.take(), ["1", "2", "3", "4", "5", "reader", "timer"]);
    }

    fn a_stop_before_the_run_lets_one_turn_pass(event_loop) {
        let log = Log::default();
        event_loop.call_soon(log.callback("once")).unwrap();
        event_loop.stop().unwrap();
        event_loop.run_forever().unwrap();
        assert_eq!(log.take(), ["once"]);
        event_loop.call_soon(stop_later(event_loop)).unwrap();
        event_loop.call_soon(log.callback("same turn")).unwrap();
        event_loop.run_forever().unwrap();
        assert_eq!(log.take(), ["same turn"]);
    }

    fn timers_are_never_early_and_in_order(event_loop) {
        let log = Log::default();
        let start = event_loop.time();
        for (delay, name) in [(20, "b"), (10, "a"), (20, "c")] {
            let (l, log) = (event_loop.clone(), log.clone());
            let due = start + delay * 1_000_000;
            event_loop.call_at(due, Callback::new(move |event| {
                assert_eq!(event.kind(), EventKind::TIMER);
                assert!(l.time() >= due, "early by {}", due - l.time());
                log.add(name);
                Ok(())
            })).unwrap();
        }
        event_loop.call_at(0, log.callback("past")).unwrap();
        event_loop.call_at(u64::MAX, log.callback("never")).unwrap();
        turns_until(event_loop, || log.0.lock().unwrap().len() == 4);
        assert_eq!(log.take(), ["past", "a", "b", "c"]);
    }

    fn what_is_cancelled_is_dropped_and_not_called(event_loop) {
        let log = Log::default();
        let soon = event_loop.call_soon(log.callback("soon")).unwrap();
        let safe = event_loop.call_soon_threadsafe(log.callback("threadsafe")).unwrap();
        let timer = event_loop.call_at(0, log.callback("timer")).unwrap();
        let kept = event_loop.call_soon(log.callback("kept")).unwrap();
        for id in [soon, safe, timer] {
            assert!(event_loop.cancel(id).unwrap());
            assert!(!event_loop.cancel(id).unwrap());
        }
        turn(event_loop);
        assert_eq!(log.take(), ["kept"]);
        assert!(!event_loop.cancel(kept).unwrap(), "it ran");
        assert!(!event_loop.cancel(HandleId(u64::MAX)).unwrap());
        assert!(!event_loop.cancel(HandleId(0)).unwrap());
    }

    fn a_callback_may_cancel_one_of_its_own_turn(event_loop) {
        let log = Log::default();
        let ids = Arc::new(Mutex::new(Vec::new()));
        let (l, later) = (event_loop.clone(), ids.clone());
        event_loop.call_soon(Callback::new(move |_| {
            for id in later.lock().unwrap().drain(..) {
                assert!(l.cancel(id)?);
            }
            Ok(())
        })).unwrap();
        ids.lock().unwrap().extend([
            event_loop.call_soon(log.callback("soon")).unwrap(),
            event_loop.call_soon_threadsafe(log.callback("threadsafe")).unwrap(),
            event_loop.call_at(0, log.callback("timer")).unwrap(),
        ]);
        turn(event_loop);
        turn(event_loop);
        assert_eq!(log.take(), [""; 0]);
    }

    fn other_threads_wake_the_loop_with_few_writes(event_loop) {
        const CALLS: usize = 1000;
        let ran = Arc::new(AtomicUsize::new(0));
        let watchdog = guard_against_hanging(event_loop);
        let (l, count) = (event_loop.clone(), ran.clone());
        let other = thread::spawn(move || {
            for n in 1..=CALLS {
                let (at_end, count) = (l.clone(), count.clone());
                l.call_soon_threadsafe(Callback::new(move |_| {
                    count.fetch_add(1, SeqCst);
                    if n == CALLS { at_end.stop() } else { Ok(()) }
                })).unwrap();
            }
        });
        event_loop.run_forever().unwrap();
        other.join().unwrap();
        event_loop.cancel(watchdog).unwrap();
        assert_eq!(ran.load(SeqCst), CALLS);
        let (turns, wakeups) = (event_loop.stat(Stat::TURNS), event_loop.stat(Stat::WAKEUPS));
        assert!(wakeups <= turns, "at most one write a turn: {wakeups:?} in {turns:?}");
    }

    fn a_reader_is_level_triggered_until_it_is_removed(event_loop) {
        let (mut near, mut far) = pair();
        let calls = Arc::new(AtomicUsize::new(0));
        let count = calls.clone();
        event_loop.add_reader(fd(&near), RepeatCallback::new(move |event| {
            assert_eq!(event.kind(), EventKind::READY);
            count.fetch_add(1, SeqCst);
            Ok(())
        })).unwrap();
        turn(event_loop);
        assert_eq!(calls.load(SeqCst), 0);
        far.write_all(b"x").unwrap();
        turns_until(event_loop, || calls.load(SeqCst) == 1);
        turns_until(event_loop, || calls.load(SeqCst) == 2);
        assert_eq!(near.read(&mut [0; 8]).unwrap(), 1);
        turn(event_loop);
        assert_eq!(calls.load(SeqCst), 2);
        far.write_all(b"x").unwrap();
        assert!(event_loop.remove_reader(fd(&near)).unwrap());
        assert!(!event_loop.remove_reader(fd(&near)).unwrap());
        turn(event_loop);
        assert_eq!(calls.load(SeqCst), 2);
    }

    fn reader_and_writer_share_a_descriptor(event_loop) {
        let (near, mut far) = pair();
        let log = Log::default();
        let (read, write) = (log.clone(), log.clone());
        event_loop.add_writer(fd(&near), RepeatCallback::new(move |_| { write.add("w"); Ok(()) })).unwrap();
        event_loop.add_reader(fd(&near), RepeatCallback::new(move |_| { read.add("r"); Ok(()) })).unwrap();
        turn(event_loop);
        assert_eq!(log.take(), ["w"]);
        far.write_all(b"x").unwrap();
        turn(event_loop);
        assert_eq!(log.take(), ["r", "w"], "the reader first");
        assert!(event_loop.remove_writer(fd(&near)).unwrap());
        turn(event_loop);
        assert_eq!(log.take(), ["r"]);
        assert!(event_loop.remove_reader(fd(&near)).unwrap());
        turn(event_loop);
        assert_eq!(log.take(), [""; 0]);
    }

    fn a_reader_may_remove_or_replace_itself(event_loop) {
        let (near, mut far) = pair();
        far.write_all(b"x").unwrap();
        let log = Log::default();
        let dropped = Arc::new(AtomicUsize::new(0));
        let count = dropped.clone();
        let on_drop = OnDrop(move || { count.fetch_add(1, SeqCst); });
        let (l, me, seen, still) = (event_loop.clone(), fd(&near), log.clone(), dropped.clone());
        event_loop.add_reader(me, RepeatCallback::new(move |_| {
            let _keep = &on_drop;
            seen.add("old");
            let (l2, seen2) = (l.clone(), seen.clone());
            l.add_reader(me, RepeatCallback::new(move |_| {
                seen2.add("new");
                assert!(l2.remove_reader(me)?);
                Ok(())
            }))?;
            assert_eq!(still.load(SeqCst), 0, "never dropped while it runs");
            Ok(())
        })).unwrap();
        turn(event_loop);
        assert_eq!(dropped.load(SeqCst), 1);
        turn(event_loop);
        turn(event_loop);
        assert_eq!(log.take(), ["old", "new"]);
    }

    fn a_reader_removed_in_the_same_turn_is_not_called(event_loop) {
        let ((a, mut a_far), (b, mut b_far)) = (pair(), pair());
        a_far.write_all(b"x").unwrap();
        b_far.write_all(b"x").unwrap();
        let log = Log::default();
        for (me, other) in [(fd(&a), fd(&b)), (fd(&b), fd(&a))] {
            let (l, log) = (event_loop.clone(), log.clone());
            event_loop.add_reader(me, RepeatCallback::new(move |_| {
                log.add("called");
                l.remove_reader(me)?;
                l.remove_reader(other)?;
                Ok(())
            })).unwrap();
        }
        turns_until(event_loop, || !log.0.lock().unwrap().is_empty());
        turn(event_loop);
        assert_eq!(log.take(), ["called"], "the first removes the second");
    }

    fn a_stream_tells_once_and_again_when_rearmed(event_loop) {
        let (mut near, mut far) = pair();
        let events = Arc::new(Mutex::new(Vec::new()));
        let seen = events.clone();
        let id = event_loop.watch_io(fd(&near), Interest::READ, RepeatCallback::new(move |event| {
            assert_eq!(event.kind(), EventKind::IO);
            seen.lock().unwrap().push(Interest(event.result as u32));
            Ok(())
        })).unwrap();
        let take = || std::mem::take(&mut *events.lock().unwrap());
        turn(event_loop);
        assert_eq!(take(), []);
        far.write_all(b"x").unwrap();
        turns_until(event_loop, || !events.lock().unwrap().is_empty());
        assert_eq!(take(), [Interest::READ]);
        far.write_all(b"y").unwrap();
        turn(event_loop);
        turn(event_loop);
        assert_eq!(take(), [], "silent until it is rearmed");
        assert_eq!(near.read(&mut [0; 8]).unwrap(), 2);
        near.read(&mut [0; 8]).unwrap_err();
        event_loop.rearm_io(id, Interest::READ).unwrap();
        turn(event_loop);
        // An edge loop may have noticed the second byte: an event that was not needed is allowed.
        if !take().is_empty() {
            event_loop.rearm_io(id, Interest::READ).unwrap();
        }
        turn(event_loop);
        assert_eq!(take(), []);
        event_loop.rearm_io(id, Interest::WRITE).unwrap();
        turns_until(event_loop, || !events.lock().unwrap().is_empty());
        assert_eq!(take(), [Interest::WRITE]);
        drop(far);
        turns_until(event_loop, || !events.lock().unwrap().is_empty());
        assert!(take()[0].contains(Interest::READ), "end-of-file is readable");
        assert!(event_loop.unwatch_io(id).unwrap());
        assert!(!event_loop.unwatch_io(id).unwrap());
        assert_eq!(code(event_loop.rearm_io(id, Interest::READ)), ErrorCode::NOT_FOUND);
    }

    fn a_hung_up_stream_that_nobody_waits_for_is_silent(event_loop) {
        let (near, far) = pair();
        let calls = Arc::new(AtomicUsize::new(0));
        let count = calls.clone();
        let id = event_loop.watch_io(fd(&near), Interest::READ, RepeatCallback::new(move |_| {
            count.fetch_add(1, SeqCst);
            Ok(())
        })).unwrap();
        drop(far);
        turns_until(event_loop, || calls.load(SeqCst) == 1);
        let before = event_loop.stat(Stat::TURNS).unwrap();
        event_loop.run_once(Some(Duration::from_millis(20))).unwrap();
        assert_eq!((calls.load(SeqCst), event_loop.stat(Stat::TURNS).unwrap() - before), (1, 1));
        assert!(event_loop.unwatch_io(id).unwrap());
    }

    fn a_descriptor_is_a_stream_or_has_callbacks(event_loop) {
        let (near, _far) = pair();
        let nothing = || RepeatCallback::new(|_| Ok(()));
        let id = event_loop.watch_io(fd(&near), Interest::READ, nothing()).unwrap();
        assert_eq!(code(event_loop.add_reader(fd(&near), nothing())), ErrorCode::FD_BUSY);
        assert_eq!(code(event_loop.watch_io(fd(&near), Interest::READ, nothing())), ErrorCode::FD_BUSY);
        assert!(!event_loop.remove_reader(fd(&near)).unwrap());
        event_loop.unwatch_io(id).unwrap();
        event_loop.add_reader(fd(&near), nothing()).unwrap();
        assert_eq!(code(event_loop.watch_io(fd(&near), Interest::READ, nothing())), ErrorCode::FD_BUSY);
    }

    fn a_bad_descriptor_is_an_error_and_leaves_nothing(event_loop) {
        for bad in [-1, 1_000_000, Fd::MAX] {
            let error = event_loop.add_reader(bad, RepeatCallback::new(|_| Ok(()))).unwrap_err();
            assert_eq!(error.code(), ErrorCode::OS, "{bad}: {error}");
            assert!(error.message().contains(&bad.to_string()), "{error}");
            assert!(!event_loop.remove_reader(bad).unwrap());
            event_loop.watch_io(bad, Interest::READ, RepeatCallback::new(|_| Ok(()))).unwrap_err();
        }
        turn(event_loop);
    }

    fn a_number_that_is_used_again_is_another_descriptor(event_loop) {
        let (old, old_far) = pair();
        let number = fd(&old);
        event_loop.add_reader(number, RepeatCallback::new(|_| panic!("the old reader"))).unwrap();
        let (new, mut new_far) = pair();
        // SAFETY: both are open; the old file is closed, as by a caller that forgot to remove its reader.
        assert_eq!(unsafe { libc::dup2(new.as_raw_fd(), old.as_raw_fd()) }, old.as_raw_fd());
        let log = Log::default();
        let seen = log.clone();
        event_loop.add_reader(number, RepeatCallback::new(move |_| { seen.add("new"); Ok(()) })).unwrap();
        new_far.write_all(b"x").unwrap();
        turns_until(event_loop, || !log.0.lock().unwrap().is_empty());
        event_loop.remove_reader(number).unwrap();
        drop(old_far);
    }

    fn the_thread_rule_is_enforced_while_it_runs(event_loop) {
        let (sender, receiver) = mpsc::channel();
        let (l, other) = (event_loop.clone(), event_loop.clone());
        event_loop.call_soon(Callback::new(move |_| {
            let there = other.clone();
            let results = thread::spawn(move || {
                let nothing = || Callback::new(|_| Ok(()));
                [
                    code(there.call_soon(nothing())),
                    code(there.call_at(0, nothing())),
                    code(there.cancel(HandleId(1))),
                    code(there.add_reader(0, RepeatCallback::new(|_| Ok(())))),
                    code(there.set_debug(true)),
                    code(there.set_exception_handler(None)),
                    code(there.call_exception_handler("from elsewhere", None, Vec::new())),
                    code(there.add_signal_handler(libc::SIGURG, RepeatCallback::new(|_| Ok(())))),
                    code(there.run_once(Some(Duration::ZERO))),
                    code(there.close()),
                ]
            }).join().unwrap();
            sender.send(results).unwrap();
            l.stop()
        })).unwrap();
        event_loop.run_forever().unwrap();
        let results = receiver.recv().unwrap();
        assert_eq!(results[..8], [ErrorCode::WRONG_THREAD; 8]);
        assert_eq!(results[8..], [ErrorCode::LOOP_RUNNING; 2]);
        let idle = event_loop.clone();
        thread::spawn(move || idle.call_soon(Callback::new(|_| Ok(()))).map(drop)).join().unwrap().unwrap();
    }

    fn threads_that_collide_on_an_idle_loop_leave_it_whole(event_loop) {
        const ROUNDS: usize = 20_000;
        let (near, _far) = pair();
        let busy_or_done = |result: Result<(), Error>| {
            if let Err(error) = result {
                assert_eq!(error.code(), ErrorCode::BUSY, "{error}");
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    busy_or_done(event_loop.add_reader(fd(&near), RepeatCallback::new(|_| Ok(()))));
                }
            });
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    busy_or_done(event_loop.remove_writer(fd(&near)).map(drop));
                    busy_or_done(event_loop.call_exception_handler("ignored", None, Vec::new()));
                }
            });
            event_loop.set_exception_handler(Some(RepeatCallback::new(|_| Ok(())))).or_else(|error| {
                if error.code() == ErrorCode::BUSY { Ok(()) } else { Err(error) }
            }).unwrap();
        });
        event_loop.add_reader(fd(&near), RepeatCallback::new(|_| Ok(()))).unwrap();
        assert!(event_loop.remove_reader(fd(&near)).unwrap());
        turn(event_loop);
    }

    fn the_drop_of_a_replaced_reader_may_use_the_loop(event_loop) {
        let (near, mut far) = pair();
        let (l, me) = (event_loop.clone(), fd(&near));
        let on_drop = OnDrop(move || assert!(l.remove_reader(me).unwrap()));
        event_loop.add_reader(me, RepeatCallback::new(move |_| { let _ = &on_drop; Ok(()) })).unwrap();
        event_loop.add_reader(me, RepeatCallback::new(|_| panic!("removed by the drop of the first"))).unwrap();
        far.write_all(b"x").unwrap();
        turn(event_loop);
        let id = event_loop.watch_io(me, Interest::READ, RepeatCallback::new(|_| Ok(()))).unwrap();
        assert!(event_loop.unwatch_io(id).unwrap());
        let l = event_loop.clone();
        let on_drop = OnDrop(move || l.add_reader(me, RepeatCallback::new(|_| Ok(()))).unwrap());
        event_loop.add_reader(me, RepeatCallback::new(move |_| { let _ = &on_drop; Ok(()) })).unwrap();
        assert!(event_loop.remove_reader(me).unwrap());
        assert!(event_loop.remove_reader(me).unwrap(), "the drop of the first has added another");
    }

    fn a_thread_runs_one_loop_at_a_time(event_loop) {
        let (l, log) = (event_loop.clone(), Log::default());
        let seen = log.clone();
        event_loop.call_soon(Callback::new(move |_| {
            assert_eq!(code(l.run_forever()), ErrorCode::LOOP_RUNNING);
            let second = builtin::loops::new("selector", &Options::new())?;
            assert_eq!(code(second.run_once(Some(Duration::ZERO))), ErrorCode::LOOP_RUNNING);
            assert!(!second.is_running(), "a refused run leaves nothing behind");
            assert!(loophost::host::current_loop().is_some_and(|current| current.same(&l)));
            seen.add("done");
            second.close()
        })).unwrap();
        turn(event_loop);
        assert_eq!(log.take(), ["done"]);
        assert!(loophost::host::current_loop().is_none());
    }

    fn errors_and_panics_go_to_the_exception_handler(event_loop) {
        let log = Log::default();
        let seen = log.clone();
        event_loop.set_exception_handler(Some(RepeatCallback::new(move |event| {
            let context = event.exception().expect("a context");
            let error = context.error.expect("an error");
            assert!(context.details.iter().any(|pair| pair.key() == "callback"));
            seen.add(format!("{}: {}", context.message, error.message().rsplit(": ").next().unwrap()));
            Ok(())
        }))).unwrap();
        event_loop.call_soon(Callback::new(|_| Err(Error::new(ErrorCode::OTHER, "failed")))).unwrap();
        event_loop.call_soon(Callback::new(|_| panic!("boom"))).unwrap();
        event_loop.call_soon(log.callback("alive")).unwrap();
        turn(event_loop);
        assert_eq!(log.take(), ["exception in a callback: failed", "exception in a callback: boom", "alive"]);
        event_loop.set_exception_handler(Some(RepeatCallback::new(|_| panic!("handler")))).unwrap();
        event_loop.call_soon(Callback::new(|_| panic!("boom"))).unwrap();
        event_loop.call_soon(log.callback("still alive")).unwrap();
        turn(event_loop);
        assert_eq!(log.take(), ["still alive"]);
        event_loop.set_exception_handler(None).unwrap();
    }

    fn a_closed_loop_refuses_everything(event_loop) {
        let dropped = Arc::new(AtomicUsize::new(0));
        let on_drop = |l: &LoopHandle| {
            let (l, count) = (l.clone(), dropped.clone());
            // The drop of a callback calls the loop that is being closed.
            OnDrop(move || {
                assert_eq!(code(l.call_soon(Callback::new(|_| Ok(())))), ErrorCode::LOOP_CLOSED);
                count.fetch_add(1, SeqCst);
            })
        };
        let (near, _far) = pair();
        let (a, b, c, d) =
            (on_drop(event_loop), on_drop(event_loop), on_drop(event_loop), on_drop(event_loop));
        event_loop.call_soon(Callback::new(move |_| { drop(a); Ok(()) })).unwrap();
        event_loop.call_soon_threadsafe(Callback::new(move |_| { drop(b); Ok(()) })).unwrap();
        event_loop.call_at(u64::MAX, Callback::new(move |_| { drop(c); Ok(()) })).unwrap();
        event_loop.add_reader(fd(&near), RepeatCallback::new(move |_| { let _ = &d; Ok(()) })).unwrap();
        event_loop.close().unwrap();
        assert_eq!(dropped.load(SeqCst), 4);
        assert!(event_loop.is_closed());
        event_loop.close().unwrap();
        let nothing = || Callback::new(|_| Ok(()));
        assert_eq!(code(event_loop.call_soon(nothing())), ErrorCode::LOOP_CLOSED);
        assert_eq!(code(event_loop.call_soon_threadsafe(nothing())), ErrorCode::LOOP_CLOSED);
        assert_eq!(code(event_loop.run_forever()), ErrorCode::LOOP_CLOSED);
        assert_eq!(code(event_loop.remove_reader(fd(&near))), ErrorCode::LOOP_CLOSED);
        assert_eq!(code(event_loop.stop()), ErrorCode::LOOP_CLOSED);
    }

    fn a_running_loop_cannot_be_closed(event_loop) {
        let l = event_loop.clone();
        event_loop.call_soon(Callback::new(move |_| {
            assert_eq!(code(l.close()), ErrorCode::LOOP_RUNNING);
            assert!(l.is_running());
            l.stop()
        })).unwrap();
        event_loop.run_forever().unwrap();
        assert!(!event_loop.is_running());
    }

    fn what_nobody_implements_yet_says_so(event_loop) {
        let op = loophost::Op::new(loophost::OpCode(0), -1);
        // SAFETY: the operation points to nothing.
        let submitted = unsafe { event_loop.submit(&op, RepeatCallback::new(|_| Ok(()))) };
        assert_eq!(code(submitted), ErrorCode::NOT_SUPPORTED);
        assert_eq!(code(event_loop.poll_handle()), ErrorCode::NOT_SUPPORTED);
        assert!(!event_loop.supports(op.code));
        assert!(event_loop.extension("loophost.nothing/1").is_null());
    }

    fn local_callbacks_keep_data_that_cannot_be_sent(event_loop) {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let list = seen.clone();
        event_loop.call_soon(Callback::local(move |_| { list.borrow_mut().push(1); Ok(()) })).unwrap();
        turn(event_loop);
        assert_eq!(*seen.borrow(), [1]);
    }

    fn thousands_of_descriptors_are_watched_at_once(event_loop) {
        let pairs: Vec<_> = (0..200).map(|_| pair()).collect();
        let calls = Arc::new(AtomicUsize::new(0));
        for (near, _) in &pairs {
            let (l, count, me) = (event_loop.clone(), calls.clone(), fd(near));
            event_loop.add_reader(me, RepeatCallback::new(move |_| {
                count.fetch_add(1, SeqCst);
                l.remove_reader(me).map(drop)
            })).unwrap();
        }
        for (_, far) in &pairs {
            let mut far = far;
            far.write_all(b"x").unwrap();
        }
        turns_until(event_loop, || calls.load(SeqCst) == pairs.len());
    }

    fn a_signal_is_handled_in_the_loop_s_thread(event_loop) {
        let log = Log::default();
        let (here, seen) = (thread::current().id(), log.clone());
        event_loop.add_signal_handler(libc::SIGURG, RepeatCallback::new(|_| panic!("replaced"))).unwrap();
        event_loop.add_signal_handler(libc::SIGURG, RepeatCallback::new(move |event| {
            assert_eq!((event.kind(), event.result), (EventKind::SIGNAL, i64::from(libc::SIGURG)));
            assert_eq!(thread::current().id(), here);
            seen.add("urg");
            Ok(())
        })).unwrap();
        // SAFETY: a signal to this very process, which has a handler for it.
        unsafe { libc::kill(libc::getpid(), libc::SIGURG) };
        turns_until(event_loop, || !log.0.lock().unwrap().is_empty());
        assert!(event_loop.remove_signal_handler(libc::SIGURG).unwrap());
        assert!(!event_loop.remove_signal_handler(libc::SIGURG).unwrap());
        let refused = event_loop.add_signal_handler(libc::SIGKILL, RepeatCallback::new(|_| Ok(())));
        assert_eq!(code(refused), ErrorCode::INVALID_ARGUMENT);
    }
}
