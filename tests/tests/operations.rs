//! Operations where the suite, which runs on any loop and has no system calls of its own, does not get: in forked children,
//! with no descriptor left, on regular files. On the built-in loop, which emulates them, and on io_uring.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs::File,
    io::Write,
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use loophost::{
    Error, ErrorCode, HandleId, LoopHandle, Op, OpCode, Options, PolicyHandle, RepeatCallback, plugin,
    policy::DefaultEventLoopPolicy,
};
use loophost_tests::{cdylib, io_uring_works, trust};
use nix::{
    errno::Errno,
    sys::{
        resource::{Resource, setrlimit},
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, fork},
};

/// The built-in policy, and `uring` as it is and with `single-issuer`.
fn policies() -> Vec<PolicyHandle> {
    let default = PolicyHandle::new(DefaultEventLoopPolicy::new());
    let mut policies = vec![default.clone()];
    if io_uring_works() {
        let uring = plugin::load(&cdylib("loophost-uring"), &trust()).unwrap();
        for single_issuer in ["no", "yes"] {
            let mut options = Options::new();
            options.push("single-issuer", single_issuer);
            policies.push(uring.new_policy(None, &options, Some(default.clone())).unwrap());
        }
    }
    policies
}

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

/// A result, and what is in the buffer.
type Ended = (i64, Vec<u8>);

/// What became of an operation.
#[derive(Clone, Default)]
struct Outcome {
    result: Arc<Mutex<Option<Ended>>>,
    dropped: Arc<AtomicBool>,
}

struct NotesDrop(Arc<AtomicBool>);

impl Drop for NotesDrop {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

impl Outcome {
    fn take(&self) -> Option<Ended> {
        self.result.lock().unwrap().take()
    }

    /// Turns until the final event.
    fn wait(&self, event_loop: &LoopHandle) -> Ended {
        let start = Instant::now();
        loop {
            if let Some(outcome) = self.take() {
                return outcome;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "waited in vain for an operation");
            event_loop.run_once(Some(Duration::from_millis(20))).unwrap();
        }
    }
}

/// Submits an operation, with a buffer if it has bytes.
fn submit(event_loop: &LoopHandle, op: Op, bytes: &[u8]) -> Result<(HandleId, Outcome), Error> {
    let outcome = Outcome::default();
    let mut buffer: Box<[u8]> = bytes.into();
    let mut op = op;
    if !buffer.is_empty() {
        (op.ptr, op.len) = (buffer.as_mut_ptr().cast(), buffer.len() as u64);
    }
    let (result, dropped) = (outcome.result.clone(), NotesDrop(outcome.dropped.clone()));
    let callback = RepeatCallback::new(move |event| {
        let _until_here = &dropped;
        *result.lock().unwrap() = Some((event.result, buffer.to_vec()));
        Ok(())
    });
    // SAFETY: the buffer lives in the callback and stays where it is.
    let id = unsafe { event_loop.submit(&op, callback) }?;
    Ok((id, outcome))
}

fn receive(event_loop: &LoopHandle, stream: &UnixStream) -> Outcome {
    let op = Op::new(OpCode::RECV, stream.as_raw_fd().into());
    submit(event_loop, op, &[0; 4]).unwrap().1
}

#[test]
fn a_forked_child_leaves_its_parent_s_operations_alone() {
    for policy in policies() {
        let event_loop = policy.new_event_loop().unwrap();
        let (near, mut far) = UnixStream::pair().unwrap();
        let outcome = receive(&event_loop, &near);
        event_loop.run_once(Some(Duration::ZERO)).unwrap();
        let unsent = receive(&event_loop, &near);
        let in_child = event_loop.clone();
        in_a_child(|| {
            let forked = |result: Result<(), Error>| {
                assert_eq!(result.unwrap_err().code(), ErrorCode::FORKED);
            };
            let nop = Op::new(OpCode::NOP, -1);
            forked(submit(&in_child, nop, &[]).map(drop));
            forked(in_child.cancel_op(HandleId(1)).map(drop));
            forked(in_child.run_once(Some(Duration::ZERO)));
            in_child.close().unwrap();
            assert!(outcome.dropped.load(SeqCst) && unsent.dropped.load(SeqCst));
            assert_eq!(outcome.take(), None, "the event is the parent's");
            // Its own one works.
            let own = policy.new_event_loop().unwrap();
            let (result, _) = submit(&own, nop, &[]).unwrap().1.wait(&own);
            assert_eq!(result, 0);
        });
        far.write_all(b"abcdefgh").unwrap();
        let mut all = [outcome.wait(&event_loop), unsent.wait(&event_loop)];
        all.sort();
        assert_eq!(all, [(4, b"abcd".to_vec()), (4, b"efgh".to_vec())]);
        event_loop.close().unwrap();
    }
}

#[test]
fn an_accept_without_a_descriptor_left_is_an_event_and_loses_nothing() {
    for policy in policies() {
        for flags in [0, Op::MULTISHOT] {
            in_a_child(|| {
                let event_loop = policy.new_event_loop().unwrap();
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
                let op = Op { flags, ..Op::new(OpCode::ACCEPT, listener.as_raw_fd().into()) };
                let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                // The next one would be the first that is free.
                let free = File::open("/dev/null").unwrap().as_raw_fd() as u64;
                setrlimit(Resource::RLIMIT_NOFILE, free, 4096).unwrap();
                let (_, refused) = submit(&event_loop, op, &[]).unwrap();
                assert_eq!(refused.wait(&event_loop).0, -i64::from(Errno::EMFILE as i32));
                setrlimit(Resource::RLIMIT_NOFILE, 4096, 4096).unwrap();
                let (_, accepted) = submit(&event_loop, op, &[]).unwrap();
                let fd = i32::try_from(accepted.wait(&event_loop).0).unwrap();
                assert!(fd >= 0, "{}", Errno::from_raw(-fd));
                // SAFETY: accept gives each descriptor to its callback alone.
                let stream = TcpStream::from(unsafe { OwnedFd::from_raw_fd(fd) });
                assert_eq!(stream.peer_addr().unwrap(), client.local_addr().unwrap());
            });
        }
    }
}

#[test]
fn regular_files_are_read_where_asked_or_refused() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"0123456789").unwrap();
    for policy in policies() {
        let event_loop = policy.new_event_loop().unwrap();
        let op = Op { offset: 3, ..Op::new(OpCode::READ, file.as_raw_fd().into()) };
        match submit(&event_loop, op, &[0; 4]) {
            Ok((_, outcome)) => {
                assert_eq!(event_loop.name(), "UringEventLoop");
                assert_eq!(outcome.wait(&event_loop), (4, b"3456".to_vec()));
            }
            Err(error) => {
                assert_eq!(
                    (event_loop.name().as_str(), error.code()),
                    ("SelectorEventLoop", ErrorCode::NOT_SUPPORTED)
                );
                assert!(error.message().contains("a file or with an offset"), "{error}");
            }
        }
        event_loop.close().unwrap();
    }
}

#[test]
fn a_ring_of_another_thread_is_closed_and_keeps_what_is_in_use() {
    for policy in policies() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let event_loop = policy.new_event_loop().unwrap();
        let outcome = receive(&event_loop, &near);
        event_loop.run_once(Some(Duration::ZERO)).unwrap();
        let is_bound = event_loop.capabilities() & loophost::Capabilities::THREAD_BOUND != 0;
        std::thread::spawn(move || event_loop.close().unwrap()).join().unwrap();
        far.write_all(b"abcd").unwrap();
        match outcome.take() {
            Some((result, buffer)) => {
                assert_eq!((result, buffer), (-i64::from(Errno::ECANCELED as i32), vec![0; 4]));
                assert!(outcome.dropped.load(SeqCst));
            }
            None => assert!(is_bound && !outcome.dropped.load(SeqCst), "freed, and perhaps written to"),
        }
    }
}
