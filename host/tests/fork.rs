//! What a child made by fork(2) without exec sees of the host.

#![allow(clippy::unwrap_used, reason = "tests")]

mod main_thread;
mod util;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use loophost::{
    Callback, ChildWatcher, Error, ErrorCode, LoopHandle, Options, Policy, PolicyHandle, RepeatCallback,
    Stat, WatcherHandle, builtin,
    host::{self, current_loop, enter_running},
    plugin,
    policy::{self, DefaultEventLoopPolicy},
    process::{self, Stdio},
    signal,
};
use loophost_tests::{C_POLICY, c_plugin, trust};
use main_thread::next;
use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, fork, getpid},
};
use util::{run_until, sh, watch};

main_thread_tests![
    a_child_has_no_running_loop,
    a_child_keeps_the_policy_and_makes_its_own_loop,
    a_child_leaves_the_parent_s_watcher_alone,
    a_child_finds_the_parent_s_watchers_empty_and_can_use_them,
    a_child_leaves_a_loop_in_c_alone,
    a_child_of_a_child_leaves_its_parent_s_loops_alone,
    a_child_s_signals_are_its_own,
    a_child_is_not_caught_by_the_parent_s_locks,
];

/// Runs `f` in a forked child, which must not panic.
#[track_caller]
fn in_a_child(f: impl FnOnce()) {
    // SAFETY: glibc lets a child of a program with threads allocate, and the host is made for the rest. It leaves by
    // `_exit`.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            let status = i32::from(catch_unwind(AssertUnwindSafe(f)).is_err());
            // SAFETY: ends the child without running anything of the parent's.
            unsafe { libc::_exit(status) }
        }
        ForkResult::Parent { child } => {
            assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0));
        }
    }
}

fn new_loop() -> LoopHandle {
    builtin::loops::new("selector", &Options::new()).unwrap()
}

fn a_child_has_no_running_loop() {
    policy::set_event_loop_policy(None);
    policy::get_event_loop_policy();
    let event_loop = new_loop();
    let running = enter_running(&event_loop).unwrap();
    let number = host::process_number();
    in_a_child(|| {
        assert_ne!(host::process_number(), number);
        assert!(current_loop().is_none() && policy::get_running_loop().is_err());
        let own = new_loop();
        let running = enter_running(&own).unwrap();
        assert!(current_loop().unwrap().same(&own));
        drop(running);
        assert!(current_loop().is_none());
    });
    assert_eq!(host::process_number(), number);
    assert!(current_loop().unwrap().same(&event_loop));
    drop(running);
}

fn a_child_keeps_the_policy_and_makes_its_own_loop() {
    /// Not the default one.
    struct Own(PolicyHandle);
    impl Policy for Own {
        fn base(&self) -> Option<PolicyHandle> {
            Some(self.0.clone())
        }
    }

    policy::set_event_loop_policy(None);
    let own = PolicyHandle::new(Own(policy::get_event_loop_policy()));
    policy::set_event_loop_policy(Some(own.clone()));
    let parents = policy::get_event_loop().unwrap();
    in_a_child(|| {
        assert!(policy::get_event_loop_policy().same(&own));
        let event_loop = policy::get_event_loop().unwrap();
        assert!(!event_loop.same(&parents));
        let stop = event_loop.clone();
        event_loop.call_soon(Callback::new(move |_| stop.stop())).unwrap();
        event_loop.run_forever().unwrap();
    });
    assert!(policy::get_event_loop().unwrap().same(&parents));
}

fn a_child_leaves_the_parent_s_watcher_alone() {
    #[derive(Clone, Default)]
    struct Recorder(Arc<Mutex<Vec<&'static str>>>);
    impl ChildWatcher for Recorder {
        fn attach_loop(&self, _: Option<LoopHandle>) -> Result<(), Error> {
            self.0.lock().unwrap().push("attach");
            Ok(())
        }

        fn close(&self) -> Result<(), Error> {
            self.0.lock().unwrap().push("close");
            Ok(())
        }
    }

    policy::set_event_loop_policy(None);
    let policy = policy::get_event_loop_policy();
    let recorder = Recorder::default();
    policy.set_child_watcher(Some(WatcherHandle::new(recorder.clone()))).unwrap();
    in_a_child(|| {
        policy.set_event_loop(Some(new_loop())).unwrap();
        policy.set_child_watcher(None).unwrap();
        assert!(recorder.0.lock().unwrap().is_empty());
    });
    policy.set_child_watcher(None).unwrap();
    assert_eq!(*recorder.0.lock().unwrap(), ["close"]);
}

/// asyncio: `test_fork_asyncio_subprocess`; and the parent's children are the parent's.
fn a_child_finds_the_parent_s_watchers_empty_and_can_use_them() {
    for name in ["pidfd", "threaded", "safe", "fast", "multi-loop"] {
        let (watcher, event_loop) = (builtin::watchers::new(name, &Options::new()).unwrap(), new_loop());
        watcher.attach_loop(Some(event_loop.clone())).unwrap();
        let mut parents = process::spawn(sh("read line; exit 4").stdin(Stdio::Pipe)).unwrap();
        let exits = watch(&watcher, &event_loop, &parents);
        in_a_child(|| {
            assert!(!watcher.remove_child_handler(parents.pid()).unwrap(), "{name}: it is the parent's");
            let own = new_loop();
            watcher.attach_loop(Some(own.clone())).unwrap();
            let child = process::spawn(sh("exit 3")).unwrap();
            let exits = watch(&watcher, &own, &child);
            run_until(&own, "the exit", || exits.len() > 0);
            assert_eq!(exits.only(), (child.pid(), 3, 0));
            watcher.close().unwrap();
        });
        parents.stdin = None;
        run_until(&event_loop, "the exit", || exits.len() > 0);
        assert_eq!(exits.only(), (parents.pid(), 4, 0));
        watcher.close().unwrap();
        event_loop.close().unwrap();
    }
}

/// The policy of the example in C, if there is a compiler.
fn policy_in_c() -> Option<PolicyHandle> {
    let plugin = plugin::load(&c_plugin(C_POLICY, "loophost_c_policy", &[])?, &trust()).unwrap();
    let base = PolicyHandle::new(DefaultEventLoopPolicy::new());
    Some(plugin.new_policy(None, &Options::new(), Some(base)).unwrap())
}

fn a_child_leaves_a_loop_in_c_alone() {
    let Some(policy) = policy_in_c() else { return };
    let parents = policy.new_event_loop().unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = || {
        let calls = calls.clone();
        Callback::new(move |_| {
            calls.fetch_add(1, SeqCst);
            Ok(())
        })
    };
    parents.call_soon(counted()).unwrap();
    in_a_child(|| {
        for refused in [
            parents.call_soon(counted()).map(drop),
            parents.call_soon_threadsafe(counted()).map(drop),
            parents.run_once(Some(Duration::ZERO)),
            parents.stop(),
        ] {
            assert_eq!(refused.unwrap_err().code(), ErrorCode::FORKED);
        }
        // Where there is no error, the host answers.
        assert_eq!((parents.capabilities(), parents.stat(Stat::TURNS)), (0, None));
        assert_eq!((&*parents.name(), parents.is_closed()), ("SelectEventLoop", false));
        assert!(parents.time() > 0 && parents.extension("loophost.none/1").is_null());
        parents.close().unwrap();
        let own = policy.new_event_loop().unwrap();
        own.call_soon(counted()).unwrap();
        own.run_once(None).unwrap();
        own.close().unwrap();
        assert_eq!(calls.load(SeqCst), 1);
    });
    parents.run_once(None).unwrap();
    assert_eq!(calls.load(SeqCst), 1);
    parents.close().unwrap();
}

fn a_child_of_a_child_leaves_its_parent_s_loops_alone() {
    let in_c = policy_in_c();
    let new_loops = || {
        let in_c = in_c.iter().map(|policy| policy.new_event_loop().unwrap());
        in_c.chain([new_loop()]).collect::<Vec<_>>()
    };
    let (used, refused) = (
        |event_loop: &LoopHandle| event_loop.run_once(Some(Duration::ZERO)).unwrap(),
        |event_loop: &LoopHandle| {
            let error = event_loop.run_once(Some(Duration::ZERO)).unwrap_err();
            assert_eq!(error.code(), ErrorCode::FORKED);
        },
    );
    let firsts = new_loops();
    in_a_child(|| {
        let number = host::process_number();
        let seconds = new_loops();
        seconds.iter().for_each(used);
        in_a_child(|| {
            assert_ne!(host::process_number(), number);
            firsts.iter().chain(&seconds).for_each(refused);
            new_loops().iter().for_each(used);
        });
        firsts.iter().for_each(refused);
        seconds.iter().for_each(used);
        assert_eq!(host::process_number(), number);
    });
    firsts.iter().for_each(used);
}

fn a_child_s_signals_are_its_own() {
    let arrivals = Arc::new(AtomicUsize::new(0));
    let (sender, received) = mpsc::channel();
    let count = arrivals.clone();
    let id = signal::subscribe(
        libc::SIGUSR1,
        RepeatCallback::new(move |_| {
            count.fetch_add(1, SeqCst);
            sender.send(()).unwrap();
            Ok(())
        }),
    )
    .unwrap();
    in_a_child(|| {
        kill(getpid(), Signal::SIGUSR1).unwrap();
        assert!(!signal::unsubscribe(id).unwrap(), "the child has no subscriptions");
        let (sender, received) = mpsc::channel();
        let own = signal::subscribe(
            libc::SIGUSR1,
            RepeatCallback::new(move |event| {
                sender.send((event.result, event.aux)).unwrap();
                Ok(())
            }),
        )
        .unwrap();
        kill(getpid(), Signal::SIGUSR1).unwrap();
        let me = getpid().as_raw() as u64;
        assert_eq!(next(&received), (i64::from(libc::SIGUSR1), me));
        assert!(signal::unsubscribe(own).unwrap());
        assert_eq!(arrivals.load(SeqCst), 0, "the parent's subscriber is not called in the child");
    });
    kill(getpid(), Signal::SIGUSR1).unwrap();
    next(&received);
    assert!(signal::unsubscribe(id).unwrap());
    assert_eq!(arrivals.load(SeqCst), 1, "the child's signal did not come here");
}

fn a_child_is_not_caught_by_the_parent_s_locks() {
    let over = Arc::new(AtomicBool::new(false));
    let until = over.clone();
    let busy = thread::spawn(move || {
        while !until.load(SeqCst) {
            policy::set_event_loop_policy(None);
            policy::set_event_loop(Some(new_loop())).unwrap();
            let id = signal::subscribe(libc::SIGUSR2, RepeatCallback::new(|_| Ok(()))).unwrap();
            signal::unsubscribe(id).unwrap();
        }
    });
    for _ in 0..200 {
        in_a_child(|| {
            policy::get_event_loop_policy();
            policy::set_event_loop(Some(new_loop())).unwrap();
            signal::unsubscribe(loophost::HandleId(0)).unwrap();
        });
    }
    over.store(true, SeqCst);
    busy.join().unwrap();
}
