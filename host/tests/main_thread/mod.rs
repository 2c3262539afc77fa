//! A test harness that runs tests one after the other in the main thread, and what such tests share.

#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "tests, and each program uses a part of it"
)]

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    sync::mpsc::{Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

/// Longer than any machine takes.
const DEADLINE: Duration = Duration::from_secs(60);

/// A test and its name.
pub type Test = (&'static str, fn());

/// Runs the tests whose names contain one of the arguments, or all of them.
pub fn run(tests: &[Test]) -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let mut failed = 0;
    for (name, test) in tests {
        if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += i32::from(!passed);
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

/// `main` for the tests of these names.
#[macro_export]
macro_rules! main_thread_tests {
    ($($name:ident),* $(,)?) => {
        fn main() -> std::process::ExitCode {
            main_thread::run(&[$((stringify!($name), $name as fn())),*])
        }
    };
}

/// The next thing that comes.
#[track_caller]
pub fn next<T>(receiver: &Receiver<T>) -> T {
    match receiver.recv_timeout(DEADLINE) {
        Ok(value) => value,
        Err(RecvTimeoutError::Timeout) => panic!("nothing came"),
        Err(RecvTimeoutError::Disconnected) => panic!("nobody is left to send"),
    }
}

/// Waits until it is true.
#[track_caller]
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "not reached: {what}");
        thread::yield_now();
    }
}

/// Has the kernel send SIGALRM to this process, in a thousandth of a second.
pub fn alarm() {
    let soon = libc::timeval { tv_sec: 0, tv_usec: 1000 };
    let once = libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 }, it_value: soon };
    // SAFETY: a valid time; the old one is not asked for.
    assert_eq!(unsafe { libc::setitimer(libc::ITIMER_REAL, &once, std::ptr::null_mut()) }, 0);
}
