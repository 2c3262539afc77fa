//! Reaping adopted orphans takes no status of anybody else. One test: it is about all children of this process.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    process as std_process,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use loophost::{
    host::Reaped,
    process::{self, Child, Command},
};
use nix::{
    sys::wait::{Id, WaitPidFlag, waitid},
    unistd::Pid,
};

/// Waits until a child has exited; it stays a zombie.
fn until_exited(pid: i64) {
    waitid(Id::Pid(Pid::from_raw(pid as i32)), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
}

fn child(status: i32) -> Child {
    process::spawn(Command::new("sh").args(["-c", &format!("exit {status}")])).unwrap()
}

fn status_of(child: &Child) -> i32 {
    match process::reap(child.pid()).unwrap() {
        Reaped::Exited(exit) => exit.returncode(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_strangers_are_reaped() {
    // A child of ours waits for its own keeper.
    let ours = child(3);
    until_exited(ours.pid());
    assert_eq!(process::reap_adopted().unwrap(), 0);

    // It hides the strangers behind it until then.
    let mut strangers = [(); 3].map(|()| std_process::Command::new("true").spawn().unwrap());
    strangers.iter().for_each(|stranger| until_exited(stranger.id().into()));
    assert_eq!(process::reap_adopted().unwrap(), 0);
    assert_eq!(status_of(&ours), 3);
    assert_eq!(process::reap_adopted().unwrap(), 3);
    assert_eq!(process::reap_adopted().unwrap(), 0);
    assert!(strangers.iter_mut().all(|stranger| stranger.wait().is_err()));

    // One that is just being born is ours already, and failed starts leave nothing to reap.
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                assert_eq!(process::reap_adopted().unwrap(), 0);
            }
        });
        let spawners = [1, 2, 3].map(|number| {
            scope.spawn(move || {
                for _ in 0..50 {
                    let child = child(number);
                    until_exited(child.pid());
                    assert_eq!(status_of(&child), number);
                    process::spawn(Command::new("/no/such/program")).unwrap_err();
                }
            })
        });
        let ended = spawners.map(|spawner| spawner.join());
        stop.store(true, Relaxed);
        ended.into_iter().for_each(Result::unwrap);
    });
}
