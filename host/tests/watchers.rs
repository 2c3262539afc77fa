//! What every built-in child watcher does, row by row. Each case runs on each watcher.

#![allow(clippy::unwrap_used, reason = "tests")]

mod util;

use std::{
    fs::File,
    io::{BufRead, BufReader},
    os::fd::AsRawFd,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use loophost::{
    Callback, Error, ErrorCode, Event, Fd, LoopHandle, Options, WatcherHandle,
    builtin::watchers,
    process::{Stdio, spawn},
};
use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitStatus, waitpid},
    },
    unistd::Pid,
};
use util::{Exits, exists, has_ended, lent, new_loop, run_until, sh, wait_for_zombie, wait_until};

type Case = fn(&WatcherHandle, &LoopHandle);

/// Held by every case. `FastChildWatcher` reaps children of other cases too, polite or not, so it has to be alone.
static COMPANY: RwLock<()> = RwLock::new(());

/// Runs a case on a fresh watcher of the kind, inside a spawn block and attached to a fresh loop that the case runs.
fn on_watcher(name: &str, case: Case) {
    let alone =
        matches!(name, "fast" | "polite").then(|| COMPANY.write().unwrap_or_else(PoisonError::into_inner));
    let _company = alone.is_none().then(in_company);
    let (watcher, event_loop) = (make(name), new_loop());
    watcher.attach_loop(Some(event_loop.clone())).unwrap();
    let token = watcher.begin_spawn().unwrap();
    case(&watcher, &event_loop);
    watcher.end_spawn(token, 0).unwrap();
    watcher.close().unwrap();
    event_loop.close().unwrap();
}

fn in_company() -> RwLockReadGuard<'static, ()> {
    COMPANY.read().unwrap_or_else(PoisonError::into_inner)
}

fn make(name: &str) -> WatcherHandle {
    let mut options = Options::new();
    let name = match name {
        "polite" => {
            options.push("polite", "true");
            "fast"
        }
        other => other,
    };
    watchers::new(name, &options).unwrap()
}

/// Adds a handler as `subprocess_exec` does it: while the loop runs.
fn add(
    watcher: &WatcherHandle,
    event_loop: &LoopHandle,
    pid: i64,
    pidfd: Fd,
    handler: Callback,
) -> Result<(), Error> {
    let watcher = watcher.clone();
    in_loop(event_loop, move || watcher.add_child_handler(pid, pidfd, handler))
}

fn in_loop(
    event_loop: &LoopHandle,
    f: impl FnOnce() -> Result<(), Error> + Send + 'static,
) -> Result<(), Error> {
    let (tell, told) = mpsc::channel();
    event_loop.call_soon(Callback::new(move |_| {
        tell.send(f()).unwrap();
        Ok(())
    }))?;
    event_loop.run_once(Some(Duration::ZERO))?;
    told.recv().unwrap()
}

macro_rules! cases {
    ($($(#[$doc:meta])* fn $name:ident($watcher:ident, $loop:ident) $body:block)*) => {
        mod pidfd {
            $(#[test] fn $name() { super::on_watcher("pidfd", super::$name); })*
        }
        mod threaded {
            $(#[test] fn $name() { super::on_watcher("threaded", super::$name); })*
        }
        mod safe {
            $(#[test] fn $name() { super::on_watcher("safe", super::$name); })*
        }
        mod fast {
            $(#[test] fn $name() { super::on_watcher("fast", super::$name); })*
        }
        mod polite {
            $(#[test] fn $name() { super::on_watcher("polite", super::$name); })*
        }
        mod multi_loop {
            $(#[test] fn $name() { super::on_watcher("multi-loop", super::$name); })*
        }
        $($(#[$doc])* fn $name($watcher: &WatcherHandle, $loop: &LoopHandle) $body)*
    };
}

cases! {
    fn statuses_are_returncodes(watcher, event_loop) {
        for (script, code) in [("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("kill -KILL $$", -9)] {
            let (child, exits) = (spawn(sh(script)).unwrap(), Exits::default());
            add(watcher, event_loop, child.pid(), lent(&child), exits.handler()).unwrap();
            run_until(event_loop, script, || exits.len() > 0);
            assert_eq!(exits.only(), (child.pid(), code, 0));
            assert_eq!(child.returncode(), Some(code as i32));
        }
    }

    /// asyncio: `test_sigchld_two_children`.
    fn children_are_told_apart(watcher, event_loop) {
        let exits = Exits::default();
        let children: Vec<_> = (0..20).map(|n| (n, spawn(sh(&format!("exit {n}"))).unwrap())).collect();
        for (_, child) in &children {
            add(watcher, event_loop, child.pid(), lent(child), exits.handler()).unwrap();
        }
        run_until(event_loop, "all exits", || exits.len() == children.len());
        let mut seen = exits.codes();
        let mut expected: Vec<_> = children.iter().map(|(n, child)| (child.pid(), *n)).collect();
        seen.sort_unstable();
        expected.sort_unstable();
        assert_eq!(seen, expected);
    }

    /// asyncio: `test_sigchld_replace_handler`.
    fn a_second_handler_replaces_the_first(watcher, event_loop) {
        let (mut child, first, second) = (spawn(sh("read line; exit 4").stdin(pipe())).unwrap(), Exits::default(), Exits::default());
        add(watcher, event_loop, child.pid(), lent(&child), first.handler()).unwrap();
        add(watcher, event_loop, child.pid(), lent(&child), second.handler()).unwrap();
        child.stdin = None;
        run_until(event_loop, "the exit", || second.len() > 0);
        assert_eq!(second.only(), (child.pid(), 4, 0));
        assert_eq!(first.len(), 0);
    }

    /// asyncio: `test_sigchld_remove_handler`, `test_remove_child_handler`.
    fn a_removed_handler_is_dropped_and_not_called(watcher, event_loop) {
        let (mut child, exits, alive) = (spawn(sh("read line").stdin(pipe())).unwrap(), Exits::default(), Arc::new(()));
        let (inner, held) = (exits.handler(), alive.clone());
        let handler = Callback::new(move |event| { drop(held); inner.call(event) });
        add(watcher, event_loop, child.pid(), lent(&child), handler).unwrap();
        assert!(watcher.remove_child_handler(child.pid()).unwrap());
        assert!(!watcher.remove_child_handler(child.pid()).unwrap());
        assert_eq!(Arc::strong_count(&alive), 1, "the handler is gone, so nobody can call it");
        child.stdin = None;
        let pid = child.pid();
        drop(child);
        run_until(event_loop, "the reaper takes it", || !exists(pid));
        assert_eq!(exits.len(), 0);
    }

    fn a_removed_child_can_be_added_again(watcher, event_loop) {
        let (mut child, exits) = (spawn(sh("read line; exit 6").stdin(pipe())).unwrap(), Exits::default());
        add(watcher, event_loop, child.pid(), lent(&child), Exits::default().handler()).unwrap();
        assert!(watcher.remove_child_handler(child.pid()).unwrap());
        add(watcher, event_loop, child.pid(), lent(&child), exits.handler()).unwrap();
        child.stdin = None;
        run_until(event_loop, "the exit", || exits.len() > 0);
        assert_eq!(exits.only(), (child.pid(), 6, 0));
    }

    /// asyncio: `test_sigchld_race_condition`; and the handler does not come from inside the call.
    fn a_child_that_is_dead_already_is_reported(watcher, event_loop) {
        let (child, exits) = (spawn(sh("exit 7")).unwrap(), Exits::default());
        wait_for_zombie(child.pid());
        let (inside, here) = (Arc::new(AtomicBool::new(false)), thread::current().id());
        let (inner, still_inside) = (exits.handler(), inside.clone());
        let handler = Callback::new(move |event| {
            assert!(thread::current().id() != here || !still_inside.load(SeqCst), "called from inside");
            inner.call(event)
        });
        // The turn of the loop that adds it may also be the one that calls the handler.
        let (adds, pid, pidfd) = (watcher.clone(), child.pid(), lent(&child));
        in_loop(event_loop, move || {
            inside.store(true, SeqCst);
            let added = adds.add_child_handler(pid, pidfd, handler);
            inside.store(false, SeqCst);
            added
        }).unwrap();
        run_until(event_loop, "the exit", || exits.len() > 0);
        assert_eq!(exits.only(), (child.pid(), 7, 0));
    }

    fn a_pidfd_need_not_be_lent(watcher, event_loop) {
        let (child, exits) = (spawn(sh("exit 8")).unwrap(), Exits::default());
        add(watcher, event_loop, child.pid(), -1, exits.handler()).unwrap();
        run_until(event_loop, "the exit", || exits.len() > 0);
        assert_eq!(exits.only(), (child.pid(), 8, 0));
    }

    /// The watcher must have its own: the host closes the lent one as soon as the handler was called.
    fn a_lent_pidfd_may_be_closed_when_the_handler_was_removed(watcher, event_loop) {
        let mut child = spawn(sh("read line; exit 9").stdin(pipe())).unwrap();
        let exits = Exits::default();
        let copy = child.pidfd().unwrap().try_clone_to_owned().unwrap();
        let number = copy.as_raw_fd().into();
        add(watcher, event_loop, child.pid(), number, Exits::default().handler()).unwrap();
        assert!(watcher.remove_child_handler(child.pid()).unwrap());
        drop(copy);
        add(watcher, event_loop, child.pid(), lent(&child), exits.handler()).unwrap();
        child.stdin = None;
        run_until(event_loop, "the exit", || exits.len() > 0);
        assert_eq!(exits.only(), (child.pid(), 9, 0));
    }

    /// asyncio: "Unknown child process pid %d, will report returncode 255".
    fn an_unknown_pid_is_255(watcher, event_loop) {
        let mut gone = std::process::Command::new("/bin/true").spawn().unwrap();
        gone.wait().unwrap();
        let (pid, exits) = (i64::from(gone.id()), Exits::default());
        add(watcher, event_loop, pid, -1, exits.handler()).unwrap();
        run_until(event_loop, "the answer", || exits.len() > 0);
        assert_eq!(exits.only(), (pid, 255, Event::STATUS_LOST));
    }

    /// A child that somebody else in this process has started.
    fn a_foreign_child_is_reaped(watcher, event_loop) {
        #[expect(clippy::zombie_processes, reason = "the watcher reaps it")]
        let foreign = std::process::Command::new("/bin/sh").args(["-c", "exit 5"]).spawn().unwrap();
        let (pid, exits) = (i64::from(foreign.id()), Exits::default());
        add(watcher, event_loop, pid, -1, exits.handler()).unwrap();
        run_until(event_loop, "the exit", || exits.len() > 0);
        assert_eq!(exits.only(), (pid, 5, 0));
    }

    /// asyncio: `test_sigchld_child_reaped_elsewhere`, but a kernel that still knows the status (6.15) is asked.
    fn a_status_that_somebody_else_took_is_recovered_or_255(watcher, event_loop) {
        let (child, exits) = (spawn(sh("exit 3")).unwrap(), Exits::default());
        let pid = Pid::from_raw(child.pid() as i32);
        assert_eq!(waitpid(pid, None).unwrap(), WaitStatus::Exited(pid, 3));
        add(watcher, event_loop, child.pid(), lent(&child), exits.handler()).unwrap();
        run_until(event_loop, "the exit", || exits.len() > 0);
        let (_, code, flags) = exits.only();
        match flags {
            Event::RECOVERED => assert_eq!(code, 3),
            other => assert_eq!((code, other), (255, Event::STATUS_LOST)),
        }
        assert_eq!(child.send_signal(0).unwrap_err().code(), ErrorCode::PROCESS_GONE);
    }

    fn what_cannot_be_a_pid_is_refused(watcher, _event_loop) {
        for pid in [0, -1, i64::MIN, i64::from(i32::MAX) + 1] {
            let error = watcher.add_child_handler(pid, -1, Exits::default().handler()).unwrap_err();
            assert_eq!(error.code(), ErrorCode::INVALID_ARGUMENT);
            assert_eq!(watcher.remove_child_handler(pid).unwrap_err().code(), ErrorCode::INVALID_ARGUMENT);
        }
    }

    /// With no lock held: the handler may use the watcher.
    fn a_handler_may_use_the_watcher(watcher, event_loop) {
        let exits = Exits::default();
        let (first, second) = (spawn(sh("exit 1")).unwrap(), spawn(sh("exit 2")).unwrap());
        let (this, next, then, pidfd) = (watcher.clone(), second.pid(), exits.handler(), lent(&second));
        let attached = event_loop.clone();
        let handler = Callback::new(move |event| {
            assert!(!this.remove_child_handler(event.aux as i64)?, "it is running");
            this.attach_loop(Some(attached))?;
            this.add_child_handler(next, pidfd, then)
        });
        add(watcher, event_loop, first.pid(), lent(&first), handler).unwrap();
        let looped = event_loop.clone();
        let done = exits.clone();
        // A run, so that there is a running loop inside the handler.
        event_loop.call_soon(Callback::new(move |_| stop_when(looped, done))).unwrap();
        event_loop.run_forever().unwrap();
        assert_eq!(exits.only(), (second.pid(), 2, 0));
    }

    fn close_drops_handlers_and_may_be_repeated(watcher, event_loop) {
        let (child, alive) = (spawn(sh("read line").stdin(pipe())).unwrap(), Arc::new(()));
        let held = alive.clone();
        let handler = Callback::new(move |_| { drop(held); Ok(()) });
        add(watcher, event_loop, child.pid(), lent(&child), handler).unwrap();
        watcher.close().unwrap();
        watcher.close().unwrap();
        assert_eq!(Arc::strong_count(&alive), 1);
        let pid = child.pid();
        drop(child);
        run_until(event_loop, "the reaper takes it", || !exists(pid));
    }

    /// From a thread that is not the loop's, while the loop runs.
    fn a_handler_is_removed_from_any_thread(watcher, event_loop) {
        let (mut child, alive) = (spawn(sh("read line").stdin(pipe())).unwrap(), Arc::new(()));
        let held = alive.clone();
        let handler = Callback::new(move |_| { drop(held); Ok(()) });
        add(watcher, event_loop, child.pid(), lent(&child), handler).unwrap();
        let (started, is_running) = mpsc::channel();
        let running = event_loop.clone();
        let runner = thread::spawn(move || {
            let tell = Callback::new(move |_| { started.send(()).unwrap(); Ok(()) });
            running.call_soon(tell).unwrap();
            running.run_forever().unwrap();
        });
        is_running.recv().unwrap();
        assert!(watcher.remove_child_handler(child.pid()).unwrap());
        assert_eq!(Arc::strong_count(&alive), 1);
        child.stdin = None;
        wait_until("the end of the child", || has_ended(child.pid()));
        event_loop.stop().unwrap();
        runner.join().unwrap();
    }

    fn the_spawn_block_is_balanced(watcher, _event_loop) {
        let token = watcher.begin_spawn().unwrap();
        watcher.end_spawn(token, 0).unwrap();
    }

    /// asyncio: Safe and Fast are active only while their loop runs; none may be inactive then.
    fn with_a_running_loop_it_is_active(watcher, event_loop) {
        let (tell, told) = mpsc::channel();
        let asked = watcher.clone();
        event_loop.call_soon(Callback::new(move |_| { tell.send(asked.is_active()).unwrap(); Ok(()) })).unwrap();
        event_loop.run_once(Some(Duration::ZERO)).unwrap();
        assert!(told.recv().unwrap());
    }

    /// Stolen while it was watched: asyncio's Fast never tells of it.
    fn a_status_that_is_stolen_from_it_is_recovered_or_255(watcher, event_loop) {
        let (mut child, exits) = (spawn(sh("read line; exit 3").stdin(pipe())).unwrap(), Exits::default());
        add(watcher, event_loop, child.pid(), lent(&child), exits.handler()).unwrap();
        child.stdin = None;
        // Either the watcher or this gets it, and nobody waits for ever.
        let _ = waitpid(Pid::from_raw(child.pid() as i32), None);
        run_until(event_loop, "the exit", || exits.len() > 0);
        let (_, code, flags) = exits.only();
        match flags {
            Event::STATUS_LOST => assert_eq!(code, 255),
            _ => assert_eq!(code, 3),
        }
    }

    /// asyncio drops the rest of the scan.
    fn a_handler_that_fails_or_panics_costs_nobody_else_anything(watcher, event_loop) {
        let exits = Exits::default();
        let children: Vec<_> = (0..6).map(|n| spawn(sh(&format!("exit {n}"))).unwrap()).collect();
        children.iter().for_each(|child| wait_for_zombie(child.pid()));
        for (n, child) in children.iter().enumerate() {
            let handler = match n {
                0 | 3 => Callback::new(|_| Err(Error::invalid_argument("a handler of a test fails"))),
                1 | 4 => Callback::new(|_| panic!("a handler of a test panics")),
                _ => exits.handler(),
            };
            add(watcher, event_loop, child.pid(), lent(child), handler).unwrap();
        }
        run_until(event_loop, "all ends", || children.iter().all(|child| child.returncode().is_some()));
        run_until(event_loop, "the other exits", || exits.len() == 2);
        assert_eq!(children.iter().map(|child| child.returncode().unwrap()).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    }

    /// asyncio: RuntimeError or ValueError, and sometimes half a success.
    fn any_thread_may_attach_it(watcher, event_loop) {
        let (mut child, exits) = (spawn(sh("read line; exit 4").stdin(pipe())).unwrap(), Exits::default());
        let (started, is_running) = mpsc::channel();
        let running = event_loop.clone();
        let tell = Callback::new(move |_| { started.send(()).unwrap(); Ok(()) });
        event_loop.call_soon(tell).unwrap();
        let (adds, here, pid, pidfd, handler) =
            (watcher.clone(), event_loop.clone(), child.pid(), lent(&child), exits.handler());
        let runner = thread::spawn(move || running.run_forever().unwrap());
        is_running.recv().unwrap();
        // The loop runs in one thread, and this is another.
        watcher.attach_loop(Some(event_loop.clone())).unwrap();
        let (added, was_added) = mpsc::channel();
        here.call_soon_threadsafe(Callback::new(move |_| { added.send(adds.add_child_handler(pid, pidfd, handler)).unwrap(); Ok(()) })).unwrap();
        was_added.recv().unwrap().unwrap();
        child.stdin = None;
        wait_until("the exit", || exits.len() > 0);
        assert_eq!(exits.only(), (child.pid(), 4, 0));
        event_loop.stop().unwrap();
        runner.join().unwrap();
    }

    /// Refused as a whole, or not the watcher's business.
    fn a_closed_loop_is_no_loop(watcher, event_loop) {
        let closed = new_loop();
        closed.close().unwrap();
        let refused = watcher.attach_loop(Some(closed)).is_err();
        let (child, exits) = (spawn(sh("exit 5")).unwrap(), Exits::default());
        add(watcher, event_loop, child.pid(), lent(&child), exits.handler()).unwrap();
        run_until(event_loop, "the exit", || exits.len() > 0);
        assert_eq!(exits.only(), (child.pid(), 5, 0), "attaching the closed one was refused: {refused}");
    }
}

fn pipe() -> Stdio {
    Stdio::Pipe
}

/// Stops the loop once there is an exit.
fn stop_when(event_loop: LoopHandle, exits: Exits) -> Result<(), Error> {
    if exits.len() > 0 {
        return event_loop.stop();
    }
    let again = event_loop.clone();
    event_loop.call_later(Duration::from_millis(1), Callback::new(move |_| stop_when(again, exits))).map(drop)
}

#[test]
fn pidfd_without_a_loop_is_inactive() {
    let _company = in_company();
    let watcher = watchers::new("pidfd", &Options::new()).unwrap();
    assert!(!watcher.is_active());
    assert_eq!(watcher.begin_spawn().unwrap_err().code(), ErrorCode::INACTIVE);
    let child = spawn(sh("exit 0")).unwrap();
    let error = watcher.add_child_handler(child.pid(), -1, Exits::default().handler()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::NO_RUNNING_LOOP);
    let event_loop = new_loop();
    watcher.attach_loop(Some(event_loop.clone())).unwrap();
    assert!(watcher.is_active());
    event_loop.close().unwrap();
    assert!(!watcher.is_active(), "a closed loop notices nothing");
}

/// asyncio 3.9 to 3.11 forgot the children of the old loop.
#[test]
fn pidfd_children_stay_with_the_loop_they_were_added_on() {
    let _company = in_company();
    let (watcher, exits) = (watchers::new("pidfd", &Options::new()).unwrap(), Exits::default());
    let (old, new) = (new_loop(), new_loop());
    let mut child = spawn(sh("read line; exit 2").stdin(pipe())).unwrap();
    watcher.attach_loop(Some(old.clone())).unwrap();
    watcher.add_child_handler(child.pid(), lent(&child), exits.handler()).unwrap();
    watcher.attach_loop(Some(new.clone())).unwrap();
    child.stdin = None;
    run_until(&old, "the exit", || exits.len() > 0);
    assert_eq!(exits.only(), (child.pid(), 2, 0));
    new.close().unwrap();
    old.close().unwrap();
}

#[test]
fn pidfd_prefers_the_running_loop() {
    let _company = in_company();
    let (watcher, exits) = (watchers::new("pidfd", &Options::new()).unwrap(), Exits::default());
    let (attached, running) = (new_loop(), new_loop());
    watcher.attach_loop(Some(attached.clone())).unwrap();
    let child = spawn(sh("exit 2")).unwrap();
    let (adds, pid, pidfd, handler) = (watcher.clone(), child.pid(), lent(&child), exits.handler());
    running.call_soon(Callback::new(move |_| adds.add_child_handler(pid, pidfd, handler))).unwrap();
    let (looped, done) = (running.clone(), exits.clone());
    running.call_soon(Callback::new(move |_| stop_when(looped, done))).unwrap();
    running.run_forever().unwrap();
    assert_eq!(exits.only(), (child.pid(), 2, 0));
    attached.close().unwrap();
    running.close().unwrap();
}

/// An extension: of a process that somebody else waits for, only that it has exited.
#[test]
fn pidfd_tells_of_the_exit_of_a_process_that_is_no_child() {
    let _company = in_company();
    let (watcher, event_loop, exits) = (make("pidfd"), new_loop(), Exits::default());
    watcher.attach_loop(Some(event_loop.clone())).unwrap();
    let script = "sleep 1000 & echo $!; wait";
    let mut parent = spawn(sh(script).stdout(pipe())).unwrap();
    let mut line = String::new();
    BufReader::new(File::from(parent.stdout.take().unwrap())).read_line(&mut line).unwrap();
    let grandchild: i32 = line.trim().parse().unwrap();
    watcher.add_child_handler(grandchild.into(), -1, exits.handler()).unwrap();
    event_loop.run_once(Some(Duration::ZERO)).unwrap();
    assert_eq!(exits.len(), 0, "it lives");
    kill(Pid::from_raw(grandchild), Signal::SIGKILL).unwrap();
    run_until(&event_loop, "the exit", || exits.len() > 0);
    assert_eq!(exits.only(), (grandchild.into(), 255, Event::STATUS_LOST));
    event_loop.close().unwrap();
}

/// asyncio: the descriptor leaks and nobody is told.
#[test]
fn pidfd_handlers_go_with_their_loop() {
    let _company = in_company();
    let (watcher, event_loop) = (watchers::new("pidfd", &Options::new()).unwrap(), new_loop());
    watcher.attach_loop(Some(event_loop.clone())).unwrap();
    let (child, alive) = (spawn(sh("read line").stdin(pipe())).unwrap(), Arc::new(()));
    let held = alive.clone();
    let handler = Callback::new(move |_| {
        drop(held);
        Ok(())
    });
    watcher.add_child_handler(child.pid(), lent(&child), handler).unwrap();
    event_loop.close().unwrap();
    assert_eq!(Arc::strong_count(&alive), 1);
    assert!(!watcher.remove_child_handler(child.pid()).unwrap());
}

#[test]
fn threads_that_wait_are_named() {
    let _company = in_company();
    let watcher = watchers::new("threaded", &Options::new()).unwrap();
    let mut child = spawn(sh("read line").stdin(pipe())).unwrap();
    let (tell, names) = mpsc::channel();
    let handler = Callback::new(move |_| {
        tell.send(thread::current().name().map(str::to_owned)).unwrap();
        Ok(())
    });
    watcher.add_child_handler(child.pid(), lent(&child), handler).unwrap();
    child.stdin = None;
    assert_eq!(names.recv().unwrap().as_deref(), Some("waitpid-0"));
}

#[test]
fn names_that_do_not_exist_are_refused_with_those_that_do() {
    let error = watchers::new("slow", &Options::new()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::NOT_FOUND);
    assert!(watchers::NAMES.iter().all(|name| error.message().contains(name)), "{error}");
    let mut options = Options::new();
    options.push("color", "red");
    assert_eq!(watchers::new("auto", &options).unwrap_err().code(), ErrorCode::INVALID_ARGUMENT);
    let auto = watchers::new("auto", &Options::new()).unwrap();
    let best =
        if loophost::process::PidfdProbe::get().works { "PidfdChildWatcher" } else { "ThreadedChildWatcher" };
    assert_eq!(auto.name(), best);
}
