//! The two queues of a ring.

use std::{collections::VecDeque, io, time::Duration};

use io_uring::{
    IoUring, cqueue,
    squeue::Entry,
    types::{SubmitArgs, Timespec},
};

/// A ring, and the entries that had no room in it.
pub(crate) struct Queues {
    ring: IoUring,
    backlog: VecDeque<Entry>,
}

impl Queues {
    pub(crate) fn new(ring: IoUring) -> Self {
        Self { ring, backlog: VecDeque::new() }
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

    /// Gives the kernel all that is queued, and waits for a completion if none is there; `None` waits without a limit.
    ///
    /// # Errors
    /// `Interrupted`, and others that are not about how much is queued.
    pub(crate) fn enter(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        loop {
            self.take_backlog();
            let waits = timeout != Some(Duration::ZERO)
                && self.backlog.is_empty()
                && self.ring.completion().is_empty();
            let entered = self.enter_once(if waits { timeout } else { Some(Duration::ZERO) });
            match entered.map_err(|error| (error.raw_os_error(), error)) {
                // Entries are left, and the kernel has taken what was before them.
                Ok(()) if !self.backlog.is_empty() && self.ring.completion().is_empty() => {}
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
        while let Some(completion) = { self.ring.completion().next() } {
            each(self, completion);
        }
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
