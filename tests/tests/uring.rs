//! The policy `uring`: its options, and its child watcher, on it and on other policies.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{Read, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use loophost::{
    Callback, ErrorCode, HandleId, Interest, LoopHandle, Op, OpCode, Options, PolicyHandle, RepeatCallback,
    Stat,
    plugin::{self, Plugin},
    policy::DefaultEventLoopPolicy,
};
use loophost_tests::{Plugins, cdylib, io_uring_works, libuv_works, loophost, run, trust};

fn run_with(plugins: &Plugins, option: &str) -> (Option<i32>, String) {
    let file = plugins.file("libloophost_uring.so");
    let args =
        ["run", "--policy", file.to_str().unwrap(), "--policy-opt", option, "--", "sh", "-c", "exit 3"];
    let ended = run(loophost(args));
    (ended.status.code(), ended.stderr)
}

#[test]
fn wrong_options_are_refused_with_what_is_allowed() {
    let plugins = Plugins::of(&["loophost-uring"]);
    for (option, allowed) in [
        ("entries=0", "a number from 1 to 32768"),
        ("entries=x", "a number from 1 to 32768"),
        ("sqpoll=yes", "off, or after how many idle milliseconds"),
        ("single-issuer=maybe", "no or yes"),
        ("wait=signal", "poll or waitid"),
        ("no-such=1", "no-such"),
    ] {
        let (status, message) = run_with(&plugins, option);
        assert_eq!(status, Some(125), "{option}: {message}");
        assert!(message.contains(allowed), "{option}: {message}");
    }
}

#[test]
fn every_option_runs_a_program() {
    if !io_uring_works() {
        return;
    }
    let plugins = Plugins::of(&["loophost-uring"]);
    for option in
        ["entries=1", "entries=32768", "sqpoll=off", "sqpoll=10", "single-issuer=yes", "wait=waitid"]
    {
        assert_eq!(run_with(&plugins, option), (Some(3), String::new()), "{option}");
    }
}

fn policy(plugin: &Plugin, wait: &str) -> PolicyHandle {
    policy_with(plugin, &[("wait", wait)])
}

fn policy_with(plugin: &Plugin, pairs: &[(&str, &str)]) -> PolicyHandle {
    let mut options = Options::new();
    pairs.iter().for_each(|(key, value)| options.push(key, value));
    plugin.new_policy(None, &options, Some(PolicyHandle::new(DefaultEventLoopPolicy::new()))).unwrap()
}

#[test]
fn children_are_operations_of_its_loops() {
    if !io_uring_works() {
        return;
    }
    let plugins = Plugins::of(&["loophost-uring"]);
    let file = plugins.file("libloophost_uring.so");
    let explained = run(loophost(["run", "--policy", file.to_str().unwrap(), "--explain", "--", "true"]));
    let own = "watcher  UringChildWatcher\n         chosen by: default\n         made by the policy\n";
    assert!(explained.stdout.contains(own), "{}", explained.stdout);
    // One that is asked for takes its place, and it takes that of others.
    let (path, watcher) = (file.to_str().unwrap(), format!("{}#uring", file.display()));
    for options in
        [["--policy", path, "--watcher", "threaded"], ["--policy", "default", "--watcher", &watcher]]
    {
        let ended = run(loophost(["run"].into_iter().chain(options).chain(["--", "sh", "-c", "exit 3"])));
        assert_eq!((ended.status.code(), ended.stderr), (Some(3), String::new()), "{options:?}");
    }
}

#[test]
fn a_loop_without_the_operation_is_refused() {
    if !libuv_works() {
        return;
    }
    let plugins = Plugins::of(&["loophost-uring", "loophost-libuv"]);
    let folder = plugins.folder();
    let options = ["--plugin-path", folder.to_str().unwrap(), "--policy", "libuv", "--watcher", "uring"];
    let ended = run(loophost(["run"].into_iter().chain(options).chain(["--", "echo", "started"])));
    assert_eq!((ended.status.code(), &*ended.stdout), (Some(125), ""));
    assert!(
        ended.stderr.contains("loop UvEventLoop, which has no operation wait-process"),
        "{}",
        ended.stderr
    );
}

/// The kernel cancels what a thread has begun when the thread ends; the watcher goes on.
#[test]
fn a_child_outlives_the_thread_that_began_to_wait_for_it() {
    if !io_uring_works() {
        return;
    }
    let plugin = plugin::load(&cdylib("loophost-uring"), &trust()).unwrap();
    for wait in ["poll", "waitid"] {
        let policy = policy(plugin, wait);
        let (event_loop, watcher) = (policy.new_event_loop().unwrap(), policy.get_child_watcher().unwrap());
        let mut shell = Command::new("sh");
        let mut child = shell.args(["-c", "read line; exit 7"]).stdin(Stdio::piped()).spawn().unwrap();
        let (pid, told) = (i64::from(child.id()), Arc::new(AtomicI64::new(-1)));
        let (there, returncode) = (event_loop.clone(), told.clone());
        let adder = watcher.clone();
        thread::spawn(move || {
            let handler = Callback::new(move |event| {
                returncode.store(event.result, SeqCst);
                Ok(())
            });
            there.call_soon(Callback::new(move |_| adder.add_child_handler(pid, -1, handler)))?;
            there.run_once(Some(Duration::ZERO))?;
            there.run_once(Some(Duration::ZERO))
        })
        .join()
        .unwrap()
        .unwrap();
        drop(child.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(60);
        while told.load(SeqCst) < 0 && Instant::now() < deadline {
            event_loop.run_once(Some(Duration::from_millis(100))).unwrap();
        }
        assert_eq!(told.load(SeqCst), 7, "{wait}");
        // The watcher has had the host take the status.
        assert!(child.wait().is_err(), "{wait}");
        watcher.close().unwrap();
        event_loop.close().unwrap();
    }
}

#[test]
fn a_child_of_a_closed_loop_is_given_up_and_others_are_not() {
    if !io_uring_works() {
        return;
    }
    let plugin = plugin::load(&cdylib("loophost-uring"), &trust()).unwrap();
    let watcher = plugin.new_watcher(Some("uring"), &Options::new(), None).unwrap();
    let event_loop = policy(plugin, "poll").new_event_loop().unwrap();
    let pid = i64::from(std::process::id());
    let no_loop = watcher.add_child_handler(pid, -1, Callback::new(|_| Ok(()))).unwrap_err();
    assert_eq!(no_loop.code(), ErrorCode::NO_RUNNING_LOOP, "{no_loop}");
    watcher.attach_loop(Some(event_loop.clone())).unwrap();
    let dropped = Arc::new(());
    let theirs = dropped.clone();
    let handler = Callback::new(move |_| {
        drop(theirs);
        Ok(())
    });
    watcher.add_child_handler(pid, -1, handler).unwrap();
    event_loop.close().unwrap();
    assert_eq!(Arc::strong_count(&dropped), 1, "the handler is gone with its loop");
    assert!(!watcher.remove_child_handler(pid).unwrap());
    assert!(!watcher.is_active());
}

/// Watches a stream for reading and counts its events.
fn count_events(event_loop: &LoopHandle, near: &UnixStream, heard: &Arc<AtomicI64>) -> HandleId {
    let heard = heard.clone();
    let callback = RepeatCallback::new(move |_| {
        heard.fetch_add(1, SeqCst);
        Ok(())
    });
    event_loop.watch_io(near.as_raw_fd().into(), Interest::READ, callback).unwrap()
}

/// A ring whose completions overflow is not kept busy for ever by polls that end and are begun again.
#[test]
fn many_streams_may_become_ready_at_a_time_in_a_small_ring() {
    const COUNT: usize = 200;
    if !io_uring_works() {
        return;
    }
    let plugin = plugin::load(&cdylib("loophost-uring"), &trust()).unwrap();
    for options in [&[("entries", "1")][..], &[("entries", "1"), ("single-issuer", "yes")]] {
        let policy = policy_with(plugin, options);
        let (done, is_done) = mpsc::channel();
        thread::spawn(move || {
            let event_loop = policy.new_event_loop().unwrap();
            let heard = Arc::new(AtomicI64::new(0));
            let pairs: Vec<_> = (0..COUNT).map(|_| UnixStream::pair().unwrap()).collect();
            let watch = |near: &UnixStream| count_events(&event_loop, near, &heard);
            let streams: Vec<_> = pairs.iter().map(|(near, _)| watch(near)).collect();
            event_loop.run_once(Some(Duration::ZERO)).unwrap();
            for round in 1..=3 {
                pairs.iter().for_each(|(_, far)| (&*far).write_all(b"x").unwrap());
                while heard.load(SeqCst) < (round * COUNT) as i64 {
                    event_loop.run_once(None).unwrap();
                }
                streams.iter().for_each(|id| event_loop.rearm_io(*id, Interest::READ).unwrap());
                // The polls that have ended by then are begun again at once, and not as many at a time as have room.
                let turns = turns_in(&event_loop, Duration::from_millis(50));
                assert!(turns < 20, "{turns} turns");
            }
            event_loop.close().unwrap();
            done.send(()).unwrap();
        });
        is_done.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|error| panic!("{options:?}: {error}"));
    }
}

/// How often a loop turns in such a time.
fn turns_in(event_loop: &LoopHandle, time: Duration) -> u64 {
    let turns = || event_loop.stat(Stat::TURNS).unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let over = is_over.clone();
    let callback = Callback::new(move |_| {
        over.store(true, SeqCst);
        Ok(())
    });
    let before = turns();
    event_loop.call_at(event_loop.time() + time.as_nanos() as u64, callback).unwrap();
    while !is_over.load(SeqCst) {
        event_loop.run_once(None).unwrap();
    }
    turns() - before
}

/// The poll of what wakes the loop is cancelled by the first wake then.
#[test]
fn a_loop_is_woken_after_the_thread_that_ran_it_has_ended() {
    if !io_uring_works() {
        return;
    }
    let plugin = plugin::load(&cdylib("loophost-uring"), &trust()).unwrap();
    let event_loop = policy(plugin, "poll").new_event_loop().unwrap();
    let there = event_loop.clone();
    thread::spawn(move || there.run_once(Some(Duration::ZERO))).join().unwrap().unwrap();
    let there = event_loop.clone();
    let runner = thread::spawn(move || there.run_forever());
    let (called, is_called) = mpsc::channel();
    // One that comes before the loop waits needs no wake.
    for n in 0..10 {
        let called = called.clone();
        let callback = Callback::new(move |_| {
            called.send(n).unwrap();
            Ok(())
        });
        event_loop.call_soon_threadsafe(callback).unwrap();
        assert_eq!(is_called.recv_timeout(Duration::from_secs(60)), Ok(n));
    }
    event_loop.stop().unwrap();
    runner.join().unwrap().unwrap();
    event_loop.close().unwrap();
}

/// Operations are in a ring of their own, which every thread may use.
#[test]
fn an_operation_that_one_thread_has_begun_is_ended_in_another() {
    if !io_uring_works() {
        return;
    }
    let plugin = plugin::load(&cdylib("loophost-uring"), &trust()).unwrap();
    let event_loop = policy(plugin, "poll").new_event_loop().unwrap();
    let (near, mut far) = UnixStream::pair().unwrap();
    let results = Arc::new(Mutex::new(Vec::<i64>::new()));
    let told = results.clone();
    let callback = RepeatCallback::new(move |event| {
        told.lock().unwrap().push(event.result);
        Ok(())
    });
    let op = Op { arg32: Interest::READ.0, ..Op::new(OpCode::POLL, near.as_raw_fd().into()) };
    // SAFETY: a poll points to nothing.
    unsafe { event_loop.submit(&op, callback) }.unwrap();
    let turn = |limit| event_loop.run_once(Some(limit)).unwrap();
    turn(Duration::ZERO);
    thread::scope(|scope| scope.spawn(|| turn(Duration::ZERO)).join()).unwrap();
    assert!(results.lock().unwrap().is_empty());
    far.write_all(b"x").unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let is_over = || !results.lock().unwrap().is_empty() || Instant::now() > deadline;
    thread::scope(|scope| {
        let there = scope.spawn(|| {
            while !is_over() {
                turn(Duration::from_millis(20));
            }
        });
        there.join()
    })
    .unwrap();
    assert_eq!(*results.lock().unwrap(), [i64::from(Interest::READ.0)]);
    event_loop.close().unwrap();
}

/// A turn that does not wait does not wait in another thread either, where the polls of the first one are begun anew.
#[test]
fn a_second_thread_takes_turns_and_ends_watches() {
    if !io_uring_works() {
        return;
    }
    let plugin = plugin::load(&cdylib("loophost-uring"), &trust()).unwrap();
    let (done, is_done) = mpsc::channel();
    let policy = policy(plugin, "poll");
    thread::spawn(move || {
        let event_loop = policy.new_event_loop().unwrap();
        let heard = Arc::new(AtomicI64::new(0));
        let watch = |near: &UnixStream| count_events(&event_loop, near, &heard);
        let pairs: Vec<_> = (0..3).map(|_| UnixStream::pair().unwrap()).collect();
        let elsewhere = |f: &(dyn Fn() + Sync)| thread::scope(|scope| scope.spawn(f).join()).unwrap();
        let (first, _second) = (watch(&pairs[0].0), watch(&pairs[1].0));
        event_loop.run_once(Some(Duration::ZERO)).unwrap();
        // The ring of this thread is left by that; what else was in it is not forgotten.
        elsewhere(&|| assert!(event_loop.unwatch_io(first).unwrap()));
        (&pairs[1].1).write_all(b"x").unwrap();
        while heard.load(SeqCst) == 0 {
            event_loop.run_once(None).unwrap();
        }
        event_loop.close().unwrap();

        let event_loop = policy.new_event_loop().unwrap();
        // A stream would have room to write, which is an event.
        let read = |near: &UnixStream| {
            let nothing = RepeatCallback::new(|_| Ok(()));
            event_loop.add_reader(near.as_raw_fd().into(), nothing).unwrap();
        };
        read(&pairs[0].0);
        event_loop.run_once(Some(Duration::ZERO)).unwrap();
        elsewhere(&|| {
            read(&pairs[2].0);
            event_loop.run_once(Some(Duration::ZERO)).unwrap();
        });
        event_loop.close().unwrap();
        done.send(()).unwrap();
    });
    is_done.recv_timeout(Duration::from_secs(60)).unwrap();
}

/// Also where the kernel leaves work for the issuer, who may not run the loop for long.
#[test]
fn a_descriptor_that_is_no_longer_watched_is_let_go_at_once() {
    if !io_uring_works() {
        return;
    }
    let plugin = plugin::load(&cdylib("loophost-uring"), &trust()).unwrap();
    for (issuer, elsewhere) in [("no", false), ("no", true), ("yes", false)] {
        let event_loop = policy_with(plugin, &[("single-issuer", issuer)]).new_event_loop().unwrap();
        let (near, mut far) = UnixStream::pair().unwrap();
        let nothing = RepeatCallback::new(|_| Ok(()));
        let stream = event_loop.watch_io(near.as_raw_fd().into(), Interest::READ, nothing).unwrap();
        // Until the kernel has nothing left to do for it.
        (0..3).for_each(|_| event_loop.run_once(Some(Duration::ZERO)).unwrap());
        if elsewhere {
            thread::scope(|scope| scope.spawn(|| event_loop.unwatch_io(stream)).join()).unwrap().unwrap();
        } else {
            event_loop.unwatch_io(stream).unwrap();
        }
        drop(near);
        far.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        assert_eq!(far.read_to_end(&mut Vec::new()).unwrap(), 0, "single-issuer={issuer}, {elsewhere}");
        event_loop.close().unwrap();
    }
}
