//! Signals by mask, in a program that reserves some first thing in `main`.

#![allow(clippy::unwrap_used, reason = "tests")]

mod main_thread;

use std::{
    env,
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    process::{Command, ExitCode, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc::{self, Receiver},
    },
    thread,
};

use loophost::{ErrorCode, Event, HandleId, RepeatCallback, signal};
use main_thread::{Test, eventually, next};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, getpid, pause},
};

const TESTS: &[Test] = &[
    ("some_signals_cannot_be_reserved", some_signals_cannot_be_reserved),
    ("a_reserved_signal_waits_for_its_subscriber", a_reserved_signal_waits_for_its_subscriber),
    ("nothing_is_reserved_once_there_are_threads", nothing_is_reserved_once_there_are_threads),
    ("no_handler_is_installed", no_handler_is_installed),
    ("the_kernel_s_own_signals_are_marked", the_kernel_s_own_signals_are_marked),
    ("other_signals_come_by_handler", other_signals_come_by_handler),
    ("ten_thousand_arrivals_may_be_merged", ten_thousand_arrivals_may_be_merged),
    ("other_signals_keep_their_effect", other_signals_keep_their_effect),
];

/// What this program does when it is told to be a child that waits for a signal.
const CHILD: &str = "wait-for-a-signal";

fn main() -> ExitCode {
    signal::init_mask(&[libc::SIGTERM, libc::SIGALRM]).unwrap();
    if env::args().any(|argument| argument == CHILD) {
        // nohup(1) ignores it for all of its descendants.
        // SAFETY: SIG_DFL runs no code.
        unsafe { libc::signal(libc::SIGHUP, libc::SIG_DFL) };
        println!("ready");
        loop {
            pause();
        }
    }
    signal::init_mask(&[libc::SIGUSR1]).unwrap();
    main_thread::run(TESTS)
}

/// Subscribes, and gives flags and sender of each event.
fn subscribe(signum: i32) -> (HandleId, Receiver<(i64, u32, u64)>) {
    let (sender, told) = mpsc::channel();
    let callback = RepeatCallback::new(move |event| {
        sender.send((event.result, event.flags, event.aux)).unwrap();
        Ok(())
    });
    (signal::subscribe(signum, callback).unwrap(), told)
}

fn here(signum: i32) -> (i64, u32, u64) {
    (i64::from(signum), 0, getpid().as_raw() as u64)
}

fn raise(signal: Signal) {
    kill(getpid(), signal).unwrap();
}

fn some_signals_cannot_be_reserved() {
    for signum in [libc::SIGKILL, libc::SIGSEGV, libc::SIGABRT, libc::SIGSYS, 0, 33, 65] {
        let error = signal::init_mask(&[signum]).unwrap_err();
        assert_eq!(error.code(), ErrorCode::INVALID_ARGUMENT, "{error}");
    }
}

fn a_reserved_signal_waits_for_its_subscriber() {
    raise(Signal::SIGTERM);
    let (id, told) = subscribe(libc::SIGTERM);
    assert_eq!(next(&told), here(libc::SIGTERM));
    assert!(signal::unsubscribe(id).unwrap());
    raise(Signal::SIGTERM);
    let (id, told) = subscribe(libc::SIGTERM);
    assert_eq!(next(&told), here(libc::SIGTERM), "also between two subscribers");
    let (other, also_told) = subscribe(libc::SIGTERM);
    raise(Signal::SIGTERM);
    assert_eq!((next(&told), next(&also_told)), (here(libc::SIGTERM), here(libc::SIGTERM)));
    assert!(signal::unsubscribe(id).unwrap() && signal::unsubscribe(other).unwrap());
}

fn nothing_is_reserved_once_there_are_threads() {
    let (go, wait) = mpsc::channel::<()>();
    let other = thread::spawn(move || wait.recv());
    let error = signal::init_mask(&[libc::SIGUSR2]).unwrap_err();
    assert_eq!(error.code(), ErrorCode::INVALID_ARGUMENT);
    assert!(error.message().contains("before the first thread"), "{error}");
    drop(go);
    other.join().unwrap().unwrap_err();
}

fn no_handler_is_installed() {
    let (id, told) = subscribe(libc::SIGUSR1);
    // SAFETY: zeroes are a valid sigaction; asking changes nothing.
    let mut current: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    assert_eq!(unsafe { libc::sigaction(libc::SIGUSR1, std::ptr::null(), &mut current) }, 0);
    assert_eq!(current.sa_sigaction, libc::SIG_DFL);
    raise(Signal::SIGUSR1);
    assert_eq!(next(&told), here(libc::SIGUSR1));
    assert!(signal::unsubscribe(id).unwrap());
}

fn the_kernel_s_own_signals_are_marked() {
    let (id, told) = subscribe(libc::SIGALRM);
    main_thread::alarm();
    assert_eq!(next(&told), (i64::from(libc::SIGALRM), Event::FROM_KERNEL, 0));
    assert!(signal::unsubscribe(id).unwrap());
}

fn other_signals_come_by_handler() {
    let (reserved, reserved_told) = subscribe(libc::SIGUSR1);
    let (id, told) = subscribe(libc::SIGHUP);
    raise(Signal::SIGHUP);
    assert_eq!(next(&told), here(libc::SIGHUP));
    raise(Signal::SIGUSR1);
    assert_eq!(next(&reserved_told), here(libc::SIGUSR1));
    assert!(signal::unsubscribe(id).unwrap() && signal::unsubscribe(reserved).unwrap());
}

fn ten_thousand_arrivals_may_be_merged() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let callback = RepeatCallback::new(move |_| {
        counted.fetch_add(1, SeqCst);
        Ok(())
    });
    let id = signal::subscribe(libc::SIGUSR1, callback).unwrap();
    (0..10_000).for_each(|_| raise(Signal::SIGUSR1));
    eventually("one delivery", || count.load(SeqCst) >= 1);
    assert!(signal::unsubscribe(id).unwrap());
    assert!(count.load(SeqCst) <= 10_000);
}

fn other_signals_keep_their_effect() {
    let mut child =
        Command::new(env::current_exe().unwrap()).arg(CHILD).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let pid = Pid::from_raw(child.id() as i32);
    // Held back, for nobody subscribes.
    kill(pid, Signal::SIGTERM).unwrap();
    kill(pid, Signal::SIGHUP).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGHUP));
}
