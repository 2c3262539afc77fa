//! Operations over a [`Selector`]: each is tried, and if it would block, tried again when its descriptor is ready.

use std::{
    collections::HashMap,
    io, mem,
    os::fd::{AsRawFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use loophost_plugin_api::{Fd, Interest, OpCode};

use crate::{
    backend::{Backend, Events},
    operation::Operation,
    proactor::Completion,
    selector::{Key, Ready, Selector, Trigger, Wake},
    sys::{self, Attempt, Attempted},
};

/// How many connections one accept takes in a turn, before it is others' turn.
const ACCEPTS_IN_A_TURN: usize = 64;

/// A loop's backend that waits for descriptors.
#[derive(Debug)]
pub struct OverSelector<S> {
    selector: S,
    waiting: HashMap<Key, Waiting>,
    /// What the next wait will tell.
    done: Vec<Completion>,
}

/// An operation that would block.
#[derive(Debug)]
struct Waiting {
    attempt: Attempt,
    /// A descriptor of its own for the same file. So it has a registration of its own, beside that of a reader and those
    /// of other operations; and it goes on if the caller closes theirs, as it does in the kernel.
    fd: OwnedFd,
}

impl<S: Selector> OverSelector<S> {
    pub(crate) fn new(selector: S) -> Self {
        Self { selector, waiting: HashMap::new(), done: Vec::new() }
    }

    /// Tries what is not waiting yet; registers it if it would block.
    fn begin(&mut self, key: Key, mut attempt: Attempt) -> io::Result<()> {
        let fd = attempt.fd();
        let Some(interest) = run(key, &mut attempt, fd, &mut self.done) else { return Ok(()) };
        let waits = sys::duplicate(fd).and_then(|fd| {
            self.selector.register(fd.as_raw_fd().into(), selector_key(key), interest, Trigger::Level)?;
            Ok(fd)
        });
        match waits {
            Ok(fd) => drop(self.waiting.insert(key, Waiting { attempt, fd })),
            Err(error) => self.done.push(failed(key, &error)),
        }
        Ok(())
    }

    /// Tries again; ends the registration when it is done.
    fn go_on(&mut self, key: Key) {
        let Some(waiting) = self.waiting.get_mut(&key) else { return };
        let fd = waiting.fd.as_raw_fd();
        if run(key, &mut waiting.attempt, fd, &mut self.done).is_none() {
            self.stop_waiting(key);
        }
    }

    fn stop_waiting(&mut self, key: Key) -> bool {
        let Some(waiting) = self.waiting.remove(&key) else { return false };
        // The descriptor is its own and open; whatever the selector says, nothing more can be done.
        if let Err(error) = self.selector.unregister(waiting.fd.as_raw_fd().into()) {
            tracing::debug!("ending the registration of an operation: {error}");
        }
        true
    }
}

/// Tries until it is done, or would block: then what it waits for is returned.
fn run(key: Key, attempt: &mut Attempt, fd: i32, done: &mut Vec<Completion>) -> Option<Interest> {
    for _ in 0..ACCEPTS_IN_A_TURN {
        match attempt.make(fd) {
            Attempted::Done { result, aux } => {
                let more = attempt.is_multishot() && result >= 0;
                done.push(Completion { key, result, aux, more });
                if !more {
                    return None;
                }
                if attempt.is_poll() {
                    break;
                }
            }
            Attempted::WouldBlock(interest) => return Some(interest),
        }
    }
    Some(attempt.interest())
}

fn failed(key: Key, error: &io::Error) -> Completion {
    Completion::last(key, -i64::from(error.raw_os_error().unwrap_or(libc::EIO)))
}

/// What a registration for an operation is called.
fn selector_key(key: Key) -> Key {
    Key(key.0 | Key::EMULATED)
}

impl<S: Selector> Backend for OverSelector<S> {
    fn waker(&self) -> Arc<dyn Wake> {
        self.selector.waker()
    }

    fn stream_trigger(&self) -> Trigger {
        self.selector.stream_trigger()
    }

    fn register(&mut self, fd: Fd, key: Key, interest: Interest, trigger: Trigger) -> io::Result<()> {
        self.selector.register(fd, key, interest, trigger)
    }

    fn modify(&mut self, fd: Fd, key: Key, interest: Interest, trigger: Trigger) -> io::Result<()> {
        self.selector.modify(fd, key, interest, trigger)
    }

    fn unregister(&mut self, fd: Fd) -> io::Result<()> {
        self.selector.unregister(fd)
    }

    fn supports(&self, _code: OpCode) -> bool {
        true
    }

    fn submit(&mut self, key: Key, operation: &Operation) -> io::Result<()> {
        self.begin(key, Attempt::new(operation)?)
    }

    fn cancel(&mut self, key: Key) -> io::Result<()> {
        if self.stop_waiting(key) {
            self.done.push(Completion::cancelled(key));
        }
        Ok(())
    }

    fn wait(&mut self, timeout: Option<Duration>, events: &mut Events) -> io::Result<()> {
        let timeout = if self.done.is_empty() { timeout } else { Some(Duration::ZERO) };
        self.selector.select(timeout, &mut events.ready)?;
        if !self.waiting.is_empty() {
            events.ready.retain(|Ready { key, .. }| {
                if key.0 & Key::EMULATED == 0 {
                    return true;
                }
                self.go_on(Key(key.0 & !Key::EMULATED));
                false
            });
        }
        if !self.done.is_empty() {
            events.completions.append(&mut self.done);
        }
        Ok(())
    }

    fn poll_handle(&self) -> Option<Fd> {
        self.selector.poll_handle()
    }

    fn prepare(&mut self) -> io::Result<bool> {
        Ok(self.done.is_empty())
    }

    fn end(&mut self, keys: &[Key], _: Duration, completions: &mut Vec<Completion>) -> io::Result<()> {
        keys.iter().try_for_each(|key| self.cancel(*key))?;
        completions.append(&mut mem::take(&mut self.done));
        Ok(())
    }

    fn is_thread_bound(&self) -> bool {
        false
    }
}
