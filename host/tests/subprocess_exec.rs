//! `subprocess_exec`: the way from a spawn through the policy's watcher to a handler on its loop.

#![allow(clippy::unwrap_used, reason = "tests")]

mod logged;
mod util;

use std::{
    fs::File,
    io::{BufRead, BufReader},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::Duration,
};

use logged::logged;
use loophost::{
    Callback, ChildWatcher, Error, ErrorCode, EventKind, Fd, LoopHandle, WatcherHandle, policy,
    process::{self, Child, Command, SpawnError, Stdio, subprocess_exec},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use util::{Exits, exists, new_loop, run_until, sh, wait_until};

const BUILT_IN: [&str; 5] = ["pidfd", "threaded", "safe", "fast", "multi-loop"];

/// The policy's watcher belongs to the process: one case at a time.
fn with_watcher(watcher: WatcherHandle) -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    policy::set_child_watcher(Some(watcher)).unwrap();
    turn
}

/// A watcher that notes its calls, and does what its script says.
#[derive(Default)]
struct Scripted {
    calls: Arc<Mutex<Vec<String>>>,
    inactive: bool,
    refuses_blocks: bool,
}

impl Scripted {
    fn note(&self, call: impl ToString) {
        self.calls.lock().unwrap().push(call.to_string());
    }
}

impl ChildWatcher for Scripted {
    fn is_active(&self) -> bool {
        self.note("is_active");
        !self.inactive
    }

    fn begin_spawn(&self) -> Result<u64, Error> {
        self.note("begin");
        if self.refuses_blocks { Err(Error::new(ErrorCode::INACTIVE, "not now")) } else { Ok(7) }
    }

    fn add_child_handler(&self, _: i64, pidfd: Fd, _: Callback) -> Result<(), Error> {
        self.note(format!("add {}", pidfd >= 0));
        Err(Error::new(ErrorCode::OS, "no room"))
    }

    fn end_spawn(&self, token: u64, pid: i64) -> Result<(), Error> {
        self.note(format!("end {token} {}", pid > 0));
        Ok(())
    }

    fn close(&self) -> Result<(), Error> {
        Ok(())
    }

    fn name(&self) -> String {
        "Scripted".into()
    }
}

/// Starts a command from inside the running loop.
fn start(event_loop: &LoopHandle, command: Command, on_exit: Callback) -> Child {
    let (here, (tell, told)) = (event_loop.clone(), mpsc::channel());
    let start = Callback::new(move |_| {
        tell.send(subprocess_exec(&here, command, on_exit)).unwrap();
        Ok(())
    });
    event_loop.call_soon(start).unwrap();
    event_loop.run_once(Some(Duration::ZERO)).unwrap();
    told.recv().unwrap().unwrap()
}

/// Starts a command from inside the running loop, and runs the loop until its exit.
fn run(event_loop: &LoopHandle, command: Command, exits: &Exits) {
    let (here, handler) = (event_loop.clone(), exits.handler());
    let start = Callback::new(move |_| {
        let stop = here.clone();
        let on_exit = Callback::new(move |event| {
            assert_eq!(event.kind(), EventKind::CHILD);
            handler.call(event)?;
            stop.stop()
        });
        // The handle goes at once: the handler keeps the child.
        subprocess_exec(&here, command, on_exit)
            .map(drop)
            .map_err(|error| Error::invalid_argument(error.to_string()))
    });
    event_loop.call_soon(start).unwrap();
    event_loop.run_forever().unwrap();
}

#[test]
fn each_built_in_watcher_reports_on_the_loop_s_thread() {
    for name in loophost::builtin::watchers::NAMES {
        let watcher = loophost::builtin::watchers::new(name, &loophost::Options::new()).unwrap();
        let _turn = with_watcher(watcher.clone());
        let (event_loop, exits, here) = (new_loop(), Exits::default(), thread::current().id());
        watcher.attach_loop(Some(event_loop.clone())).unwrap();
        let inner = exits.handler();
        let handler = Exits::default();
        run(&event_loop, sh("exit 3"), &handler);
        assert_eq!(handler.only().1, 3);
        let (looped, stop) = (event_loop.clone(), event_loop.clone());
        let start = Callback::new(move |_| {
            let on_exit = Callback::new(move |event| {
                assert_eq!(thread::current().id(), here);
                inner.call(event)?;
                stop.stop()
            });
            let child = subprocess_exec(&looped, sh("kill -KILL $$"), on_exit).unwrap();
            assert_eq!(child.returncode(), None);
            Ok(())
        });
        event_loop.call_soon(start).unwrap();
        event_loop.run_forever().unwrap();
        assert_eq!(exits.only().1, -9);
        event_loop.close().unwrap();
    }
}

/// asyncio: `test_create_subprocess_fails_with_inactive_watcher`.
#[test]
fn nothing_is_spawned_under_an_inactive_watcher() {
    let watcher = Scripted { inactive: true, ..Scripted::default() };
    let calls = watcher.calls.clone();
    let _turn = with_watcher(WatcherHandle::new(watcher));
    let event_loop = new_loop();
    let error = subprocess_exec(&event_loop, sh("exit 0"), Exits::default().handler()).unwrap_err();
    assert!(matches!(&error, SpawnError::Watcher(error) if error.code() == ErrorCode::INACTIVE), "{error:?}");
    assert_eq!(*calls.lock().unwrap(), ["is_active"]);
    event_loop.close().unwrap();
}

#[test]
fn a_watcher_may_refuse_the_block() {
    let watcher = Scripted { refuses_blocks: true, ..Scripted::default() };
    let calls = watcher.calls.clone();
    let _turn = with_watcher(WatcherHandle::new(watcher));
    let event_loop = new_loop();
    subprocess_exec(&event_loop, sh("exit 0"), Exits::default().handler()).unwrap_err();
    assert_eq!(*calls.lock().unwrap(), ["is_active", "begin"]);
    event_loop.close().unwrap();
}

#[test]
fn the_block_ends_with_and_without_a_child() {
    let watcher = Scripted::default();
    let calls = watcher.calls.clone();
    let _turn = with_watcher(WatcherHandle::new(watcher));
    let event_loop = new_loop();
    let missing = Command::new("/nowhere/at/all");
    let error = subprocess_exec(&event_loop, missing, Exits::default().handler()).unwrap_err();
    assert!(matches!(error, SpawnError::NotFound { .. }), "{error:?}");
    assert_eq!(*calls.lock().unwrap(), ["is_active", "begin", "end 7 false"]);
    calls.lock().unwrap().clear();
    run(&event_loop, sh("exit 0"), &Exits::default());
    assert_eq!(*calls.lock().unwrap(), ["is_active", "begin", "add true", "end 7 true"]);
    event_loop.close().unwrap();
}

#[test]
fn another_watcher_takes_what_the_first_cannot() {
    let _turn = with_watcher(WatcherHandle::new(Scripted::default()));
    let (event_loop, exits) = (new_loop(), Exits::default());
    run(&event_loop, sh("exit 6"), &exits);
    assert_eq!(exits.only().1, 6);
    // Without a running loop the last one in the chain can.
    let child = subprocess_exec(&event_loop, sh("exit 5"), exits.handler()).unwrap();
    run_until(&event_loop, "the second exit", || exits.len() == 2);
    assert_eq!(exits.codes()[1], (child.pid(), 5));
    event_loop.close().unwrap();
}

#[test]
fn a_child_whose_loop_is_closed_is_reaped_all_the_same() {
    for name in BUILT_IN {
        let watcher = loophost::builtin::watchers::new(name, &loophost::Options::new()).unwrap();
        let _turn = with_watcher(watcher.clone());
        let (event_loop, exits) = (new_loop(), Exits::default());
        watcher.attach_loop(Some(event_loop.clone())).unwrap();
        let command = sh("read line").stdin(Stdio::Pipe);
        let mut child = start(&event_loop, command, exits.handler());
        event_loop.close().unwrap();
        child.stdin = None;
        wait_until("it was reaped", || child.returncode().is_some());
        assert_eq!(child.returncode(), Some(1), "what read says at the end of its input");
        assert_eq!(exits.len(), 0);
    }
}

#[test]
fn a_child_whose_handler_was_removed_is_reaped_all_the_same() {
    for name in BUILT_IN {
        let watcher = loophost::builtin::watchers::new(name, &loophost::Options::new()).unwrap();
        let _turn = with_watcher(watcher.clone());
        let (event_loop, exits) = (new_loop(), Exits::default());
        watcher.attach_loop(Some(event_loop.clone())).unwrap();
        let command = sh("read line").stdin(Stdio::Pipe);
        let mut child = start(&event_loop, command, exits.handler());
        assert!(watcher.remove_child_handler(child.pid()).unwrap());
        child.stdin = None;
        wait_until("it was reaped", || child.returncode().is_some());
        let pid = child.pid();
        drop(child);
        wait_until("it is gone", || !exists(pid));
        assert_eq!(exits.len(), 0);
        event_loop.close().unwrap();
    }
}

/// Replacing the host's own handler must not lose the status to the reaper.
#[test]
fn a_replaced_handler_gets_the_status() {
    for name in ["pidfd", "threaded", "safe"] {
        let watcher = loophost::builtin::watchers::new(name, &loophost::Options::new()).unwrap();
        let _turn = with_watcher(watcher.clone());
        let (event_loop, first, second) = (new_loop(), Exits::default(), Exits::default());
        watcher.attach_loop(Some(event_loop.clone())).unwrap();
        let command = sh("read line; exit 4").stdin(Stdio::Pipe);
        let mut child = start(&event_loop, command, first.handler());
        watcher.add_child_handler(child.pid(), util::lent(&child), second.handler()).unwrap();
        child.stdin = None;
        wait_until("it was reaped by somebody", || {
            event_loop.run_once(Some(Duration::ZERO)).unwrap();
            child.returncode().is_some()
        });
        run_until(&event_loop, "the exit", || second.len() > 0);
        assert_eq!(second.only(), (child.pid(), 4, 0));
        assert_eq!(first.len(), 0);
        event_loop.close().unwrap();
    }
}

#[test]
fn orphans_can_be_counted() {
    let _turn = with_watcher(WatcherHandle::new(Scripted::default()));
    wait_until("those of other cases are gone", || process::orphans() == 0);
    let mut child = process::spawn(sh("read line").stdin(Stdio::Pipe)).unwrap();
    let stdin = child.stdin.take();
    drop(child);
    assert_eq!(process::orphans(), 1);
    drop(stdin);
    wait_until("the reaper takes it", || process::orphans() == 0);
}

/// asyncio's users write `run_coroutine_threadsafe`; here any thread may start a child for the loop of another one.
#[test]
fn a_child_may_be_started_for_the_loop_of_another_thread() {
    for name in BUILT_IN {
        let watcher = loophost::builtin::watchers::new(name, &loophost::Options::new()).unwrap();
        let _turn = with_watcher(watcher.clone());
        let (event_loop, exits) = (new_loop(), Exits::default());
        watcher.attach_loop(Some(event_loop.clone())).unwrap();
        let (running, (started, is_running)) = (event_loop.clone(), mpsc::channel());
        let tell = Callback::new(move |_| {
            started.send(thread::current().id()).unwrap();
            Ok(())
        });
        event_loop.call_soon(tell).unwrap();
        let runner = thread::spawn(move || running.run_forever().unwrap());
        let its_thread = is_running.recv().unwrap();
        let inner = exits.handler();
        let on_exit = Callback::new(move |event| {
            assert_eq!(thread::current().id(), its_thread);
            inner.call(event)
        });
        let (child, log) = logged(|| subprocess_exec(&event_loop, sh("exit 3"), on_exit).unwrap());
        wait_until("the exit", || exits.len() > 0);
        assert_eq!((exits.only(), &*log), ((child.pid(), 3, 0), ""), "{name}");
        event_loop.stop().unwrap();
        runner.join().unwrap();
        watcher.close().unwrap();
        event_loop.close().unwrap();
    }
}

/// The loop that runs where the child is started is not the one that is told, and may be gone before that.
#[test]
fn a_child_may_be_started_inside_another_loop() {
    for name in BUILT_IN {
        let watcher = loophost::builtin::watchers::new(name, &loophost::Options::new()).unwrap();
        let _turn = with_watcher(watcher.clone());
        let (here, told, exits) = (new_loop(), new_loop(), Exits::default());
        watcher.attach_loop(Some(here.clone())).unwrap();
        let (handler, target) = (exits.handler(), told.clone());
        let start = Callback::new(move |_| {
            let child =
                subprocess_exec(&target, sh("read line; exit 3").stdin(Stdio::Pipe), handler).unwrap();
            // Its input ends with this.
            drop(child);
            Ok(())
        });
        here.call_soon(start).unwrap();
        here.run_once(Some(Duration::ZERO)).unwrap();
        watcher.attach_loop(Some(told.clone())).unwrap();
        here.close().unwrap();
        run_until(&told, name, || exits.len() > 0);
        assert_eq!(exits.only().1, 3, "{name}");
        watcher.close().unwrap();
        told.close().unwrap();
    }
}

/// The loop could not give the child to the watcher any more.
#[test]
fn a_child_whose_loop_closes_before_it_was_registered_is_reaped() {
    let watcher = loophost::builtin::watchers::new("multi-loop", &loophost::Options::new()).unwrap();
    let _turn = with_watcher(watcher.clone());
    let (event_loop, exits) = (new_loop(), Exits::default());
    watcher.attach_loop(None).unwrap();
    let child = subprocess_exec(&event_loop, sh("exit 3"), exits.handler()).unwrap();
    event_loop.close().unwrap();
    wait_until("it was reaped", || child.returncode() == Some(3));
    assert_eq!(exits.len(), 0);
}

/// asyncio 3.11 waited for both: with a grandchild that holds the pipe, for as long as that lives.
#[test]
fn an_exit_does_not_wait_for_the_output_to_end() {
    let watcher = loophost::builtin::watchers::new("auto", &loophost::Options::new()).unwrap();
    let _turn = with_watcher(watcher.clone());
    let (event_loop, exits) = (new_loop(), Exits::default());
    watcher.attach_loop(Some(event_loop.clone())).unwrap();
    let command = sh("sleep 1000 & echo $!; exit 3").stdout(Stdio::Pipe);
    let mut child = subprocess_exec(&event_loop, command, exits.handler()).unwrap();
    run_until(&event_loop, "the exit", || exits.len() > 0);
    let mut output = BufReader::new(File::from(child.stdout.take().unwrap()));
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let grandchild = Pid::from_raw(line.trim().parse().unwrap());
    kill(grandchild, Signal::SIGKILL).expect("it lives and holds the pipe");
    assert_eq!(output.read_line(&mut line).unwrap(), 0, "the end of the output");
    assert_eq!(exits.only().1, 3);
    event_loop.close().unwrap();
}
