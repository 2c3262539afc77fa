//! Readers, writers and streams over a [`Proactor`]: each wait for readiness is an operation that ends with one event, or,
//! of a stream where polls tell edges, one that goes on.

use std::{
    collections::HashMap,
    io, mem,
    sync::Arc,
    time::{Duration, Instant},
};

use loophost_plugin_api::{Fd, Interest, OpCode};
use slab::Slab;

use crate::{
    backend::{Backend, Events},
    operation::Operation,
    proactor::{CLOSED, Completion, Proactor},
    selector::{Key, Ready, Trigger, Wake},
    sys,
};

/// A loop's backend that carries out operations.
#[derive(Debug)]
pub struct OverProactor<P> {
    proactor: P,
    watches: Slab<Watch>,
    by_fd: HashMap<Fd, usize>,
    /// Who may need a poll. It is begun right before the wait: a reader that is removed in the turn in which it was
    /// called, as one for the exit of a child is, has no second one.
    to_arm: Vec<usize>,
    polls_made: u64,
    /// All that has no final completion yet.
    under_way: usize,
    found: Vec<Completion>,
    /// What `prepare` has found.
    prepared: Events,
}

#[derive(Debug)]
struct Watch {
    fd: Fd,
    key: Key,
    interest: Interest,
    trigger: Trigger,
    /// What is under way for it.
    poll: Option<Key>,
}

/// The key of a poll: its number, which tells it from those that the same index had before, and the index of its watch.
/// What was cancelled has ended long before its number comes again.
const POLL_NUMBER_SHIFT: u32 = 31;
const POLL_NUMBER_MASK: u64 = (1 << 30) - 1;

fn poll_key(number: u64, watch: usize) -> Key {
    Key(Key::EMULATED | (number & POLL_NUMBER_MASK) << POLL_NUMBER_SHIFT | watch as u64)
}

fn polled_watch(key: Key) -> Option<usize> {
    key.is_of_watch().then_some((key.0 & ((1 << POLL_NUMBER_SHIFT) - 1)) as usize)
}

impl<P: Proactor> OverProactor<P> {
    pub(crate) fn new(proactor: P) -> Self {
        Self {
            proactor,
            watches: Slab::new(),
            by_fd: HashMap::new(),
            to_arm: Vec::new(),
            polls_made: 0,
            under_way: 0,
            found: Vec::new(),
            prepared: Events::default(),
        }
    }

    /// Begins the polls that are due.
    fn arm(&mut self) -> io::Result<()> {
        while let Some(&index) = self.to_arm.last() {
            let watch = self.watches.get_mut(index);
            let Some(watch) = watch.filter(|watch| watch.poll.is_none() && !watch.interest.is_empty()) else {
                self.to_arm.pop();
                continue;
            };
            let poll = match watch.trigger {
                Trigger::Edge => Operation::multishot_poll(watch.fd, watch.interest.union(CLOSED)),
                Trigger::Level | Trigger::Once => Operation::poll(watch.fd, watch.interest),
            };
            let key = poll_key(self.polls_made, index);
            self.proactor.submit(key, &poll)?;
            self.polls_made += 1;
            self.under_way += 1;
            watch.poll = Some(key);
            self.to_arm.pop();
        }
        Ok(())
    }

    fn cancel_poll(&mut self, poll: Option<Key>) -> io::Result<()> {
        let Some(key) = poll else { return Ok(()) };
        self.proactor.cancel(key)
    }

    /// Tells readiness from what was submitted.
    fn sort(&mut self, events: &mut Events) {
        for completion in self.found.drain(..) {
            let Completion { key, result, more, .. } = completion;
            if !more {
                self.under_way -= 1;
            }
            let Some(index) = polled_watch(key) else {
                events.completions.push(completion);
                continue;
            };
            // Somebody else's, or nobody's: it was cancelled, and this is its end.
            let Some(watch) = self.watches.get_mut(index).filter(|watch| watch.poll == Some(key)) else {
                continue;
            };
            if !more {
                watch.poll = None;
            }
            match u32::try_from(result) {
                Ok(bits) => {
                    let (interest, read_closed) =
                        (Interest(bits).difference(CLOSED), Interest(bits).contains(CLOSED));
                    events.ready.push(Ready { key: watch.key, interest, read_closed });
                    if !more && watch.trigger != Trigger::Once {
                        self.to_arm.push(index);
                    }
                }
                // The kernel cancels what a thread has begun when the thread ends, and a proactor what it has to begin anew; this
                // one goes on with it.
                Err(_) if result == -i64::from(libc::ECANCELED) => self.to_arm.push(index),
                Err(_) => {
                    let error = io::Error::from_raw_os_error(-result as i32);
                    tracing::debug!(watch.fd, "descriptor closed while it was watched: {error}");
                }
            }
        }
    }
}

impl<P: Proactor> Backend for OverProactor<P> {
    fn waker(&self) -> Arc<dyn Wake> {
        self.proactor.waker()
    }

    fn stream_trigger(&self) -> Trigger {
        if self.proactor.polls_edges() { Trigger::Edge } else { Trigger::Once }
    }

    fn register(&mut self, fd: Fd, key: Key, interest: Interest, trigger: Trigger) -> io::Result<()> {
        // The poll itself would only say in the next turn that it cannot be.
        sys::check_pollable(i32::try_from(fd).map_err(|_| io::ErrorKind::InvalidInput)?)?;
        // Left over where the loop has refused to unregister it.
        if self.by_fd.contains_key(&fd) {
            self.unregister(fd)?;
        }
        let index = self.watches.insert(Watch { fd, key, interest, trigger, poll: None });
        self.by_fd.insert(fd, index);
        self.to_arm.push(index);
        Ok(())
    }

    fn modify(&mut self, fd: Fd, key: Key, interest: Interest, trigger: Trigger) -> io::Result<()> {
        let index = *self.by_fd.get(&fd).ok_or(io::ErrorKind::NotFound)?;
        let before = mem::replace(&mut self.watches[index], Watch { fd, key, interest, trigger, poll: None });
        self.to_arm.push(index);
        // Also if it asks for the same: the number may be another file's by now, of which nothing has been found.
        self.prepared.ready.retain(|ready| ready.key != before.key);
        self.cancel_poll(before.poll)
    }

    fn unregister(&mut self, fd: Fd) -> io::Result<()> {
        let index = self.by_fd.remove(&fd).ok_or(io::ErrorKind::NotFound)?;
        let watch = self.watches.remove(index);
        self.prepared.ready.retain(|ready| ready.key != watch.key);
        if watch.poll.is_none() {
            return Ok(());
        }
        self.cancel_poll(watch.poll)?;
        // At once: the poll keeps the file open, whoever closes it next, and there may be no turn for long.
        self.proactor.flush()
    }

    fn supports(&self, code: OpCode) -> bool {
        self.proactor.supports(code)
    }

    fn submit(&mut self, key: Key, operation: &Operation) -> io::Result<()> {
        self.proactor.submit(key, operation)?;
        self.under_way += 1;
        Ok(())
    }

    fn cancel(&mut self, key: Key) -> io::Result<()> {
        self.proactor.cancel(key)
    }

    fn wait(&mut self, timeout: Option<Duration>, events: &mut Events) -> io::Result<()> {
        events.append(&mut self.prepared);
        // A descriptor that is still ready would be told of twice.
        if !events.is_empty() {
            return Ok(());
        }
        let deadline = timeout.filter(|limit| !limit.is_zero()).map(|limit| Instant::now() + limit);
        let mut left = timeout;
        loop {
            self.arm()?;
            let woken = self.proactor.poll(left, &mut self.found);
            self.sort(events);
            let is_over = left.is_some_and(|left| left.is_zero());
            // Polls that have only lost their thread are begun anew before it is over: they may be ready.
            if woken? || is_over && self.to_arm.is_empty() || !events.is_empty() {
                return Ok(());
            }
            // It may have ended for polls that nobody waits for any more.
            if !is_over {
                left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            }
        }
    }

    fn poll_handle(&self) -> Option<Fd> {
        self.proactor.poll_handle()
    }

    fn prepare(&mut self) -> io::Result<bool> {
        self.proactor.prepare();
        if !self.prepared.is_empty() {
            return Ok(false);
        }
        let mut events = mem::take(&mut self.prepared);
        let result = loop {
            // Not only a flush: the waker must be listened to.
            let woken = self.arm().and_then(|()| self.proactor.poll(Some(Duration::ZERO), &mut self.found));
            self.sort(&mut events);
            match woken {
                Ok(false) if events.is_empty() && !self.to_arm.is_empty() => {}
                result => break result.map(|woken| !woken && events.is_empty()),
            }
        };
        self.prepared = events;
        result
    }

    fn end(&mut self, keys: &[Key], patience: Duration, completions: &mut Vec<Completion>) -> io::Result<()> {
        self.by_fd.clear();
        let polls: Vec<_> = self.watches.drain().filter_map(|watch| watch.poll).collect();
        keys.iter().chain(&polls).try_for_each(|key| self.proactor.cancel(*key))?;
        let (deadline, mut events) = (Instant::now() + patience, mem::take(&mut self.prepared));
        let mut result = Ok(());
        while self.under_way > 0 && result.is_ok() {
            let left = deadline.saturating_duration_since(Instant::now());
            result = match self.proactor.poll(Some(left), &mut self.found) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
                _ => Ok(()),
            };
            self.sort(&mut events);
            if left.is_zero() {
                break;
            }
        }
        completions.append(&mut events.completions);
        result
    }

    fn is_thread_bound(&self) -> bool {
        self.proactor.is_thread_bound()
    }
}
