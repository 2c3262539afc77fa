//! The two queues of a ring.

use std::{collections::VecDeque, io, time::Duration};

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
    backlog: VecDeque<Entry>,
    taken: VecDeque<cqueue::Entry>,
}

impl Queues {
    pub(crate) fn new(ring: IoUring) -> Self {
        Self { ring, backlog: VecDeque::new(), taken: VecDeque::new() }
    }

    pub(crate) fn ring(&self) -> &IoUring {
        &self.ring
    }

    /// Queues an entry. If there is no room, and the kernel cannot be entered yet, it waits in the backlog.
    ///
    /// # Safety
    /// All that the entry points to stays where it is until its last completion.
    pub(crate) unsafe fn push(&mut self, entry: Entry, may_enter: bool) {
        if self.backlog.is_empty() {
            // SAFETY: the caller's promise.
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                return;
            }
            // Full: given to the kernel, the queue is empty, unless the completion queue is full too.
            if may_enter && self.ring.submit().is_ok() {
                // SAFETY: the caller's promise.
                if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                    return;
                }
            }
        }
        self.backlog.push_back(entry);
    }

    /// Queues an entry for the next [`enter`](Self::enter), and not before.
    ///
    /// # Safety
    /// As for [`push`](Self::push).
    pub(crate) unsafe fn push_for_later(&mut self, entry: Entry) {
        self.backlog.push_back(entry);
    }

    /// Gives the kernel all that is queued, and waits for a completion if none is there; `None` waits without a limit.
    ///
    /// # Errors
    /// `Interrupted`, and others that are not about how much is queued.
    pub(crate) fn enter(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        loop {
            self.take_overflow()?;
            self.take_backlog();
            let waits = timeout != Some(Duration::ZERO)
                && self.backlog.is_empty()
                && self.taken.is_empty()
                && self.ring.completion().is_empty();
            let entered = self.enter_once(if waits { timeout } else { Some(Duration::ZERO) });
            match entered.map_err(|error| (error.raw_os_error(), error)) {
                // Entries are left, and the kernel has taken what was before them: they shall not find a full queue.
                Ok(()) if !self.backlog.is_empty() => self.taken.extend(self.ring.completion()),
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

    /// All completions that are there.
    pub(crate) fn take_completions(&mut self, mut each: impl FnMut(&mut Self, cqueue::Entry)) {
        while let Some(completion) = { self.taken.pop_front().or_else(|| self.ring.completion().next()) } {
            each(self, completion);
        }
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
        while let Some(entry) = self.backlog.front() {
            // SAFETY: whoever pushed it has promised for it.
            if unsafe { submission.push(entry) }.is_err() {
                return;
            }
            self.backlog.pop_front();
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
