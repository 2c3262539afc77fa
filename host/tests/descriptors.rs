//! What happens, and what is left, when spawns fail and descriptors run out.
//!
//! One test, because it counts what the whole process holds and uses it up.

#![allow(clippy::unwrap_used, reason = "tests")]

mod util;

use std::{cell::Cell, fs, rc::Rc};

use loophost::{
    Callback, LoopHandle, Options, builtin, policy,
    process::{self, Command, SpawnError, Stdio, Way, subprocess_exec},
};
use util::{Exhausted, Exits, Holdings, new_loop, sh, wait_until};

const ROUNDS: usize = 250;

#[test]
fn failures_leave_nothing_behind() {
    let event_loop = new_loop();
    for (name, way) in [("pidfd", Way::Clone3), ("threaded", Way::Clone), ("pidfd", Way::Posix)] {
        util::use_way(way);
        let watcher = builtin::watchers::new(name, &Options::new()).unwrap();
        watcher.attach_loop(Some(event_loop.clone())).unwrap();
        policy::set_child_watcher(Some(watcher)).unwrap();
        thousand_failing_spawns(&event_loop);
        without_descriptors(&event_loop);
        told_when_all_is_back(&event_loop);
    }
    dropped_without_descriptors();
    children_that_nobody_waits_for(&event_loop);
    event_loop.close().unwrap();
}

fn thousand_failing_spawns(event_loop: &LoopHandle) {
    let start = |command| subprocess_exec(event_loop, command, Exits::default().handler()).unwrap_err();
    let before = Holdings::now();
    for _ in 0..ROUNDS {
        let missing = start(Command::new("loophost-no-such-program").stdout(Stdio::Pipe));
        assert!(matches!(missing, SpawnError::NotFound { .. }), "{missing:?}");
        let refused = start(Command::new("/etc/passwd").stdin(Stdio::Null).stdout(Stdio::Pipe));
        assert!(matches!(refused, SpawnError::NotExecutable { .. }), "{refused:?}");
        let nowhere = start(sh("").stdout(Stdio::Pipe).working_folder("/nowhere/at/all"));
        assert!(matches!(nowhere, SpawnError::BadWorkingFolder { .. }), "{nowhere:?}");
    }
    let full = Exhausted::new(1);
    for _ in 0..ROUNDS {
        // The first pipe would take two.
        match start(sh("").stdout(Stdio::Pipe)) {
            SpawnError::Os { source, .. } => assert_eq!(source.raw_os_error(), Some(libc::EMFILE)),
            other => panic!("{other:?}"),
        }
    }
    drop(full);
    assert_eq!(Holdings::now(), before);
}

/// No pidfd can be had then, neither by the process layer nor by the watcher: a thread waits for this child.
fn without_descriptors(event_loop: &LoopHandle) {
    let before = Holdings::now();
    let exits = Exits::default();
    let full = Exhausted::new(0);
    let child = subprocess_exec(event_loop, sh("exit 5"), exits.handler()).unwrap();
    assert!(child.pidfd().is_none());
    drop(full);
    util::run_until(event_loop, "the exit", || exits.len() > 0);
    assert_eq!(exits.only(), (child.pid(), 5, 0));
    child.send_signal(0).unwrap_err();
    wait_until("the thread is gone", || Holdings::now() == before);
}

/// Whoever is told of an exit may start the next child with what this one had, whatever its watcher's thread still does.
fn told_when_all_is_back(event_loop: &LoopHandle) {
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    let (holdings, before) = (Holdings::now(), descriptors());
    for _ in 0..ROUNDS {
        let (child, open) = (Rc::new(Cell::new(None)), Rc::new(Cell::new(None)));
        let on_exit = {
            let (child, open) = (child.clone(), open.clone());
            Callback::local(move |_| {
                drop(child.take());
                open.set(Some(descriptors()));
                Ok(())
            })
        };
        child.set(Some(subprocess_exec(event_loop, sh(""), on_exit).unwrap()));
        util::run_until(event_loop, "the exit", || open.get().is_some());
        assert_eq!(open.get(), Some(before));
    }
    wait_until("the last thread is gone", || Holdings::now() == holdings);
}

/// The reaper works without pidfds too, and without a descriptor to be woken by.
fn dropped_without_descriptors() {
    let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    let full = Exhausted::new(0);
    let child = process::spawn(sh("read line").stdin(Stdio::Fd(read))).unwrap();
    drop(child);
    assert_eq!(process::orphans(), 1);
    drop(write);
    wait_until("the reaper takes it", || process::orphans() == 0);
    drop(full);
}

/// Children that outlive their handle, and the watcher that was to tell of them.
fn children_that_nobody_waits_for(event_loop: &LoopHandle) {
    let waiting = || {
        let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
        (sh("read line").stdin(Stdio::Fd(read)), write)
    };
    let abandon = || {
        let (command, unwatched) = waiting();
        drop(process::spawn(command).unwrap());
        let (command, watched) = waiting();
        drop(subprocess_exec(event_loop, command, Exits::default().handler()).unwrap());
        policy::set_child_watcher(Some(builtin::watchers::new("threaded", &Options::new()).unwrap()))
            .unwrap();
        assert_eq!(process::orphans(), 2);
        drop((unwatched, watched));
        wait_until("the reaper takes them", || process::orphans() == 0);
    };
    // The first time leaves the reaper's thread and its descriptor.
    abandon();
    let before = Holdings::now();
    (0..20).for_each(|_| abandon());
    // The first time may have been counted before the last of its threads had ended.
    wait_until("nothing is left of them", || Holdings::now().are_within(&before));
}
