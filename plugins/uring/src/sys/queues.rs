//! The two queues of a ring.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsRawFd, RawFd},
    time::Duration,
};

use io_uring::{
    IoUring, cqueue,
    squeue::Entry,
    types::{SubmitArgs, Timespec},
};

/// `IORING_ENTER_GETEVENTS`.
const GET_EVENTS: u32 = 1;

/// A ring, the entries that had no room in it, and the completions that were taken out to make room.
///
/// Completions that overflow are the end of what goes on: a poll for many events ends with the one that had no room. Begun
/// again meanwhile it would end again at once, and with more of them than the queue holds this would never be over. So all
/// of them are taken out first.
pub(crate) struct Queues {
    ring: IoUring,
    backlog: Backlog,
    taken: VecDeque<cqueue::Entry>,
    /// Until a thread has made the ring its own.
    is_disabled: bool,
}

/// Entries for the next [`enter`](Queues::enter).
#[derive(Default)]
pub(crate) struct Backlog(VecDeque<Entry>);

impl Backlog {
    /// Queues an entry for later, and not before.
    ///
    /// # Safety
    /// As for [`Queues::push`].
    pub(crate) unsafe fn push(&mut self, entry: Entry) {
        self.0.push_back(entry);
    }
}

impl Queues {
    /// Of a ring that belongs to one thread, which is disabled, or of one for any.
    pub(crate) fn new(ring: IoUring) -> Self {
        let is_disabled = ring.params().is_setup_single_issuer();
        Self { ring, backlog: Backlog::default(), taken: VecDeque::new(), is_disabled }
    }

    pub(crate) fn raw_fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }

    /// Whether the ring belongs to one thread.
    pub(crate) fn is_single_issuer(&self) -> bool {
        self.ring.params().is_setup_single_issuer()
    }

    /// Makes the ring this thread's, if it is to belong to one and does not yet.
    pub(crate) fn enable(&mut self) -> io::Result<()> {
        if self.is_disabled {
            self.ring.submitter().register_enable_rings()?;
            self.is_disabled = false;
        }
        Ok(())
    }

    /// Whether there are completions to be taken.
    fn has_completions(&mut self) -> bool {
        !self.taken.is_empty() || !self.ring.completion().is_empty()
    }

    /// Whether nothing is left to be done without waiting: entries that the kernel has not taken, or completions.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.backlog.0.is_empty() && self.ring.submission().is_empty() && !self.has_completions()
    }

    /// Queues an entry. If there is no room, and the kernel cannot or shall not be entered yet, it waits in the backlog.
    ///
    /// # Safety
    /// All that the entry points to stays where it is until its last completion.
    pub(crate) unsafe fn push(&mut self, entry: Entry, may_enter: bool) {
        if self.backlog.0.is_empty() {
            // SAFETY: the caller's promise.
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                return;
            }
            // Full: given to the kernel, the queue is empty, unless the completion queue is full too.
            if may_enter && !self.is_disabled && self.ring.submit().is_ok() {
                // SAFETY: the caller's promise.
                if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                    return;
                }
            }
        }
        self.backlog.0.push_back(entry);
    }

    /// Gives the kernel all that is queued and does not wait. A ring that belongs to no thread yet is left as it is.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.is_disabled {
            return Ok(());
        }
        self.enter(Some(Duration::ZERO))?;
        // What was cancelled lets go of its file in work that is left for the issuer. Not until there is none: the flag that
        // says so may stay set.
        if self.is_single_issuer() { self.enter(Some(Duration::ZERO)) } else { Ok(()) }
    }

    /// Gives the kernel all that is queued, and waits for a completion if none is there; `None` waits without a limit.
    ///
    /// # Errors
    /// `Interrupted`, and others that are not about how much is queued.
    pub(crate) fn enter(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        loop {
            self.take_overflow()?;
            self.take_backlog();
            let waits =
                timeout != Some(Duration::ZERO) && self.backlog.0.is_empty() && !self.has_completions();
            let entered = self.enter_once(if waits { timeout } else { Some(Duration::ZERO) });
            match entered.map_err(|error| (error.raw_os_error(), error)) {
                // Entries are left, and the kernel has taken what was before them: they shall not find a full queue.
                Ok(()) if !self.backlog.0.is_empty() => self.taken.extend(self.ring.completion()),
                // No more is taken before completions were: they are, after this.
                Ok(()) | Err((Some(libc::ETIME | libc::EBUSY), _)) => return Ok(()),
                // Short of memory: perhaps completions give some back.
                Err((Some(libc::EAGAIN), _)) => {
                    std::thread::yield_now();
                    return Ok(());
                }
                Err((_, error)) => return Err(error),
            }
        }
    }

    /// All completions that are there; what goes on with an operation may wait in the backlog.
    pub(crate) fn take_completions(&mut self, mut each: impl FnMut(&mut Backlog, cqueue::Entry)) {
        let Self { ring, backlog, taken, .. } = self;
        taken.drain(..).chain(ring.completion()).for_each(|completion| each(backlog, completion));
    }

    /// Takes out the completions that the kernel keeps because the queue is full, and what is before them.
    fn take_overflow(&mut self) -> io::Result<()> {
        while self.ring.submission().cq_overflow() {
            self.taken.extend(self.ring.completion());
            // SAFETY: nothing is submitted, and there is no argument.
            unsafe { self.ring.submitter().enter::<libc::sigset_t>(0, 0, GET_EVENTS, None) }?;
        }
        Ok(())
    }

    fn take_backlog(&mut self) {
        let mut submission = self.ring.submission();
        while let Some(entry) = self.backlog.0.front() {
            // SAFETY: whoever pushed it has promised for it.
            if unsafe { submission.push(entry) }.is_err() {
                return;
            }
            self.backlog.0.pop_front();
        }
    }

    /// With a kernel thread that submits: waits until it has taken everything. Otherwise a turn that does not wait might
    /// miss what is ready.
    fn wait_for_kernel_thread(&mut self) {
        if !self.ring.params().is_setup_sqpoll() {
            return;
        }
        while !self.ring.submission().is_empty() {
            if self.ring.submission().need_wakeup() && self.ring.submit().is_err() {
                return;
            }
            std::thread::yield_now();
        }
    }

    fn enter_once(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let submission = self.ring.submission();
        let has_work = !submission.is_empty() || submission.taskrun() || submission.cq_overflow();
        drop(submission);
        let submitter = self.ring.submitter();
        match timeout {
            Some(Duration::ZERO) if !has_work => Ok(()),
            Some(Duration::ZERO) => {
                submitter.submit()?;
                self.wait_for_kernel_thread();
                Ok(())
            }
            Some(limit) => {
                let limit = Timespec::from(limit);
                submitter.submit_with_args(1, &SubmitArgs::new().timespec(&limit)).map(drop)
            }
            None => submitter.submit_and_wait(1).map(drop),
        }
    }
}
