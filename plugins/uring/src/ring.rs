//! A ring as a proactor.

use std::{
    collections::HashMap,
    io, mem,
    os::fd::{AsFd, AsRawFd},
    sync::Arc,
    time::Duration,
};

use io_uring::{
    cqueue,
    opcode::{AsyncCancel, AsyncCancel2},
    squeue::{Entry, Flags},
    types::{CancelBuilder, Fd as RingFd},
};
use libc::{EAGAIN, EEXIST, EINTR};
use loophost_base_loop::{CLOSED, Completion, Key, Operation, Proactor, Wake};
use loophost_plugin_api::{Fd, Interest, OpCode};
use nix::{
    errno::Errno,
    sys::eventfd::{EfdFlags, EventFd},
    unistd::read,
};

use crate::{
    availability::Features,
    entry::{self, UnderWay},
    polls::Polls,
    settings::Settings,
    sys::queues::{Backlog, Queues},
};

/// In the user data of what has an entry in `under_way`; without it, it is a poll that points to nothing and needs nothing
/// kept: one for one event, or a watch's. Keys do not have it.
const IN_TABLE: u64 = 1 << 62;
/// The user data of the poll of the waker.
const WAKE: u64 = 1 << 63;
/// The user data of cancellations.
const CANCELLATION: u64 = WAKE | 1;
/// The user data of the poll of the ring of operations.
const OPERATIONS: u64 = WAKE | 2;

/// How many polls are cancelled at once: the kernel looks for each from the first one on, and ends some twenty in one call.
const FEW: usize = 16;

/// A ring with the operations that are in it; and where the kernel has what that needs, a second one for the polls.
pub(crate) struct Ring {
    /// Of the first one: for any thread, unless everything shall stay in one.
    queues: Queues,
    under_way: HashMap<Key, Box<UnderWay>>,
    /// The second one, until a second thread uses the loop, or somebody else waits for it: then polls are in the first one.
    polls: Option<Polls>,
    /// Polls that have ended with their ring, to be told.
    ended: Vec<Completion>,
    features: Features,
    waitid: bool,
    waker: Arc<Waker>,
    waker_is_polled: bool,
}

/// An eventfd that the ring polls: a poll that goes on needs no new entry for each wake, and the counter need not be read.
struct Waker(EventFd);

impl Wake for Waker {
    fn wake(&self) -> io::Result<()> {
        loop {
            match self.0.write(1) {
                // A full counter has woken.
                Ok(_) | Err(Errno::EAGAIN) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl Ring {
    pub(crate) fn new(settings: &Settings, features: Features) -> io::Result<Self> {
        let eventfd = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let has_polls = features.deferred_work && settings.sqpoll.is_none() && !settings.single_issuer;
        let polls = if has_polls { Polls::new(settings)? } else { None };
        Ok(Self {
            queues: Queues::new(settings.build()?),
            under_way: HashMap::new(),
            polls,
            ended: Vec::new(),
            features,
            waitid: settings.waitid,
            waker: Arc::new(Waker(eventfd)),
            waker_is_polled: false,
        })
    }

    /// The ring that the loop waits for.
    fn waited_for(&mut self) -> &mut Queues {
        self.polls.as_mut().map_or(&mut self.queues, |polls| &mut polls.queues)
    }

    /// Before the kernel is entered to wait.
    fn listen(&mut self) -> io::Result<()> {
        self.waited_for().enable()?;
        if !self.waker_is_polled {
            let fd = RingFd(self.waker.0.as_fd().as_raw_fd());
            let poll = entry::poll(fd, Interest::READ, self.features.multishot_poll);
            push(self.waited_for(), poll.user_data(WAKE), true);
            self.waker_is_polled = true;
        }
        if let Some(polls) = self.polls.as_mut().filter(|polls| !polls.hears_operations) {
            // For one event: the kernel ends a poll of a ring with its first event, whatever it was asked for.
            let poll = entry::poll(RingFd(self.queues.raw_fd()), Interest::READ, false);
            push(&mut polls.queues, poll.user_data(OPERATIONS), true);
            polls.hears_operations = true;
        }
        Ok(())
    }

    fn enter(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = if self.ended.is_empty() { timeout } else { Some(Duration::ZERO) };
        let Some(polls) = &mut self.polls else { return self.queues.enter(timeout) };
        self.queues.enter(Some(Duration::ZERO))?;
        let timeout = if self.queues.is_quiet() { timeout } else { Some(Duration::ZERO) };
        let entered = polls.queues.enter(timeout);
        self.unless_moved(entered)
    }

    /// Leaves the polls' ring if it is another thread's.
    fn unless_moved(&mut self, entered: io::Result<()>) -> io::Result<()> {
        match entered {
            Err(error) if error.raw_os_error() == Some(EEXIST) && self.polls.is_some() => {
                self.leave_polls();
                Ok(())
            }
            result => result,
        }
    }

    /// Goes on with the ring for any thread. The other one's polls end with it, and are begun anew by whoever is told so.
    fn leave_polls(&mut self) {
        let Some(mut polls) = self.polls.take() else { return };
        // So that they let go of their files at once. Many do when the kernel has closed the ring, which takes a moment; so do all
        // in another thread than the ring's own, where it refuses this.
        if polls.under_way.len() <= FEW {
            let all = AsyncCancel2::new(CancelBuilder::any()).build();
            push(&mut polls.queues, all.user_data(CANCELLATION), false);
            let _ = polls.queues.flush();
        }
        self.ended.extend(polls.under_way.into_iter().map(Completion::cancelled));
        self.waker_is_polled = false;
    }

    /// Takes what is complete; true if the waker was used.
    fn take_completions(&mut self, completions: &mut Vec<Completion>) -> bool {
        completions.append(&mut self.ended);
        let mut woken = false;
        let Self { queues, under_way, polls, features, waitid, .. } = self;
        let mut waker_is_polled = self.waker_is_polled;
        let mut hears_operations = true;
        let (poll_queues, mut polls_under_way) =
            polls.as_mut().map(|polls| (&mut polls.queues, &mut polls.under_way)).unzip();
        let mut each = |backlog: &mut Backlog, completion: cqueue::Entry| {
            let (data, result) = (completion.user_data(), completion.result());
            let more = cqueue::more(completion.flags());
            match data {
                CANCELLATION => {}
                OPERATIONS => hears_operations = false,
                WAKE => {
                    // Also if it was cancelled: when the thread that began the poll has ended, that is how its first event is
                    // told.
                    woken = true;
                    waker_is_polled = more;
                }
                _ if data & IN_TABLE == 0 => {
                    let key = Key(data);
                    if let Some(under_way) = polls_under_way.as_mut().filter(|_| !more) {
                        under_way.remove(&key);
                    }
                    let result = entry::poll_result(result, asked_of_poll(key));
                    completions.push(Completion { key, result, aux: 0, more });
                }
                _ => {
                    let key = Key(data & !IN_TABLE);
                    let Some(operation) = under_way.get_mut(&key) else { return };
                    let mut found = |completion| completions.push(completion);
                    match operation.go_on(key, result, more, &mut found) {
                        Next::Nothing => {}
                        Next::End => drop(under_way.remove(&key)),
                        Next::Again => {
                            let entry = operation.entry(*features, *waitid);
                            push_for_later(backlog, entry.user_data(data));
                        }
                        Next::Poll => push_for_later(backlog, operation.poll_entry().user_data(data)),
                    }
                }
            }
        };
        if let Some(poll_queues) = poll_queues {
            poll_queues.take_completions(&mut each);
        }
        queues.take_completions(&mut each);
        if let Some(polls) = polls.as_mut().filter(|_| !hears_operations) {
            polls.hears_operations = false;
        }
        if self.waker_is_polled && !waker_is_polled {
            // Begun anew it would tell of the same wake again.
            let _ = read(self.waker.0.as_fd(), &mut [0; 8]);
        }
        self.waker_is_polled = waker_is_polled;
        woken
    }
}

/// Which bits the result of a poll may have that is not in the table, whatever it was asked for.
fn asked_of_poll(key: Key) -> Interest {
    if key.is_of_watch() { Interest::BOTH.union(CLOSED) } else { Interest::BOTH }
}

#[allow(unsafe_code, reason = "the promise of the entries' memory")]
fn push(queues: &mut Queues, entry: Entry, may_enter: bool) {
    // SAFETY: an entry points to the memory of an operation, whose submitter has promised it, to a box in `under_way`, which
    // stays until the last completion and is leaked with the ring, or to nothing.
    unsafe { queues.push(entry, may_enter) };
}

/// While completions are taken: an entry that goes on with its operation.
#[allow(unsafe_code, reason = "the promise of the entries' memory")]
fn push_for_later(backlog: &mut Backlog, entry: Entry) {
    // SAFETY: as for `push`.
    unsafe { backlog.push(entry) };
}

// SAFETY: a final completion is made of the kernel's last one for the operation, or of one that says that nothing
// was done; and `drop` leaks what the kernel may still be using.
#[allow(unsafe_code, reason = "a promise, kept by the kernel")]
unsafe impl Proactor for Ring {
    fn waker(&self) -> Arc<dyn Wake> {
        self.waker.clone()
    }

    fn supports(&self, _code: OpCode) -> bool {
        true
    }

    fn polls_edges(&self) -> bool {
        self.features.multishot_poll
    }

    fn submit(&mut self, key: Key, operation: &Operation) -> io::Result<()> {
        if operation.code == OpCode::POLL && (key.is_of_watch() || !operation.is_multishot()) {
            let (fd, interest) = (RingFd(operation.raw_fd()), Interest(operation.arg32));
            let entry = entry::poll(fd, interest, operation.is_multishot()).user_data(key.0);
            let polls = self.polls.as_mut().filter(|_| key.is_of_watch());
            let queues = polls.map_or(&mut self.queues, |polls| {
                polls.under_way.insert(key);
                &mut polls.queues
            });
            // With no room it waits for `enter`, which takes completions in between: polls that an overflow has ended would
            // end in the next one.
            push(queues, entry, false);
            return Ok(());
        }
        let mut under_way = UnderWay::new(operation);
        let entry = under_way.entry(self.features, self.waitid).user_data(key.0 | IN_TABLE);
        self.under_way.insert(key, under_way);
        push(&mut self.queues, entry, true);
        Ok(())
    }

    fn cancel(&mut self, key: Key) -> io::Result<()> {
        let mut data = key.0;
        if let Some(operation) = self.under_way.get_mut(&key) {
            operation.is_cancelled = true;
            data |= IN_TABLE;
        }
        let mut entry = AsyncCancel::new(data).build().user_data(CANCELLATION);
        if self.features.silent_success {
            entry = entry.flags(Flags::SKIP_SUCCESS);
        }
        let polls = self.polls.as_mut().filter(|_| key.is_of_watch());
        push(polls.map_or(&mut self.queues, |polls| &mut polls.queues), entry, true);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.queues.flush()?;
        let Some(polls) = &mut self.polls else { return Ok(()) };
        let flushed = polls.queues.flush();
        self.unless_moved(flushed)
    }

    fn poll(&mut self, timeout: Option<Duration>, completions: &mut Vec<Completion>) -> io::Result<bool> {
        self.listen()?;
        let entered = self.enter(timeout);
        let woken = self.take_completions(completions);
        if woken || !completions.is_empty() {
            return Ok(woken);
        }
        entered.map(|()| false)
    }

    fn poll_handle(&self) -> Option<Fd> {
        // What is left for the issuer to do does not make its ring readable (seen on Linux 6.18).
        (!self.queues.is_single_issuer()).then(|| self.queues.raw_fd().into())
    }

    fn prepare(&mut self) {
        self.leave_polls();
    }

    fn is_thread_bound(&self) -> bool {
        self.queues.is_single_issuer()
    }
}

/// What an operation needs after a completion.
enum Next {
    /// More come by themselves.
    Nothing,
    /// To be taken out.
    End,
    /// To be submitted again.
    Again,
    /// A poll, until it would not block.
    Poll,
}

impl UnderWay {
    fn go_on(&mut self, key: Key, result: i32, more: bool, found: &mut impl FnMut(Completion)) -> Next {
        if self.is_polling {
            self.is_polling = false;
            if result >= 0 && !self.is_cancelled {
                return Next::Again;
            }
            let error = if result < 0 { result } else { -libc::ECANCELED };
            found(Completion::last(key, error.into()));
            return Next::End;
        }
        let would_block = result == -EAGAIN && self.operation.code != OpCode::CONNECT;
        if would_block && self.is_cancelled {
            found(Completion::cancelled(key));
            return Next::End;
        }
        if would_block {
            self.is_polling = true;
            return Next::Poll;
        }
        if result == -EINTR && !self.is_cancelled && self.operation.code != OpCode::CLOSE {
            return Next::Again;
        }
        let result = match self.operation.code {
            OpCode::POLL => entry::poll_result(result, Interest(self.operation.arg32)),
            // Of a poll they are the bits that are ready.
            OpCode::WAIT_PROCESS => result.min(0).into(),
            _ => result.into(),
        };
        let goes_on = self.operation.is_multishot() && result >= 0;
        found(Completion { key, result, aux: self.address_len(), more: goes_on });
        match (goes_on, more) {
            (false, _) => Next::End,
            (true, true) => Next::Nothing,
            (true, false) if self.is_cancelled => {
                found(Completion::cancelled(key));
                Next::End
            }
            // The kernel has had enough, or does one at a time; the submitter has not.
            (true, false) => Next::Again,
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // What did not end by now the kernel may still write to.
        mem::take(&mut self.under_way).into_values().for_each(mem::forget);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use loophost_plugin_api::Options;

    use super::*;
    use crate::availability;

    /// The default one; `None` where io_uring is not available.
    fn ring() -> Option<(Ring, Features)> {
        let settings = Settings::new(&Options::new()).unwrap();
        let features = availability::try_out(&settings).ok()?;
        Some((Ring::new(&settings, features).unwrap(), features))
    }

    /// Enters the kernel, which tells whose ring it is.
    fn wait(ring: &mut Ring) {
        ring.poll(Some(Duration::from_millis(1)), &mut Vec::new()).unwrap();
    }

    #[test]
    fn polls_have_a_ring_of_their_own_until_a_second_thread_comes() {
        let Some((mut ring, features)) = ring() else { return };
        for _ in 0..3 {
            wait(&mut ring);
            assert_eq!(ring.polls.is_some(), features.deferred_work);
        }
        thread::scope(|scope| scope.spawn(|| wait(&mut ring)).join()).unwrap();
        assert!(ring.polls.is_none());
        let waker = ring.waker();
        thread::spawn(move || waker.wake()).join().unwrap().unwrap();
        assert!(ring.poll(None, &mut Vec::new()).unwrap(), "the waker is listened to in the other ring");
    }
}
