//! The thread that writes what finished jobs have printed.

use std::{
    error::Error,
    io::{self, Read},
    os::fd::{AsFd, AsRawFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use loophost::Fd;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
    unistd::write,
};
use tempfile::SpooledTempFile;

use super::{progress::Progress, record::Record};

/// What a finished job leaves to be written.
pub(super) struct Printed {
    pub(super) record: Record,
    pub(super) stdout: Option<SpooledTempFile>,
    pub(super) stderr: Option<SpooledTempFile>,
}

/// The writing end, in the loop's thread.
pub(super) struct Writer {
    shared: Arc<Shared>,
    sender: Option<Sender<Printed>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    /// Given to the thread and not written yet.
    waiting: AtomicUsize,
    /// Why nothing can be written any more.
    failure: Mutex<Option<io::Error>>,
    /// Readable when one of the two has changed.
    news: EventFd,
}

impl Writer {
    pub(super) fn start(progress: Progress, json: bool) -> Result<Self, Box<dyn Error>> {
        let failed = |error: io::Error| format!("starting the thread that writes the jobs' outputs: {error}");
        let news = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(|errno| failed(errno.into()))?;
        let shared = Arc::new(Shared { waiting: AtomicUsize::new(0), failure: Mutex::new(None), news });
        let (sender, receiver) = mpsc::channel();
        let there = shared.clone();
        let thread = thread::Builder::new()
            .name("loophost-writer".into())
            .spawn(move || there.write_all(&receiver, &progress, json))
            .map_err(failed)?;
        Ok(Self { shared, sender: Some(sender), thread: Some(thread) })
    }

    /// Gives a job's output to the thread. Never waits.
    pub(super) fn give(&self, printed: Printed) {
        self.shared.waiting.fetch_add(1, SeqCst);
        if let Some(sender) = &self.sender {
            // The thread ends only after this end does.
            let _ = sender.send(printed);
        }
    }

    /// How many outputs have not been written yet.
    pub(super) fn waiting(&self) -> usize {
        self.shared.waiting.load(SeqCst)
    }

    /// Readable after an output was written or could not be.
    pub(super) fn news(&self) -> Fd {
        self.shared.news.as_fd().as_raw_fd().into()
    }

    /// Takes note of the news; the error if nothing can be written any more, once.
    pub(super) fn read_news(&self) -> Option<io::Error> {
        let _ = self.shared.news.read();
        self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Waits until everything is written, or for so long; then what is left is not written. Gives the error if something
    /// could not be written and [`read_news`](Self::read_news) has not told yet.
    pub(super) fn finish(mut self, limit: Option<Duration>) -> Option<io::Error> {
        self.sender = None;
        let deadline = limit.map(|limit| Instant::now() + limit);
        let mut failure = self.read_news();
        while self.waiting() > 0 {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return failure;
            }
            let timeout = left
                .map_or(PollTimeout::NONE, |left| PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX));
            let _ = poll(&mut [PollFd::new(self.shared.news.as_fd(), PollFlags::POLLIN)], timeout);
            failure = self.read_news().or(failure);
        }
        if let Some(thread) = self.thread.take() {
            // It has no reason to panic, and its panic would have been reported.
            let _ = thread.join();
        }
        self.read_news().or(failure)
    }
}

impl Shared {
    /// The thread.
    fn write_all(&self, outputs: &Receiver<Printed>, progress: &Progress, json: bool) {
        let mut broken = false;
        for printed in outputs {
            if !broken && let Err(error) = progress.suspend(|| print(printed, json)) {
                broken = true;
                *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
            self.waiting.fetch_sub(1, SeqCst);
            let _ = self.news.write(1);
        }
    }
}

/// With `json` standard output carries the records and nothing else: what jobs print goes to standard error.
fn print(printed: Printed, json: bool) -> io::Result<()> {
    let (stdout, stderr) = (io::stdout(), io::stderr());
    if let Some(output) = printed.stdout {
        if json { copy(output, &stderr)? } else { copy(output, &stdout)? }
    }
    if let Some(output) = printed.stderr {
        copy(output, &stderr)?;
    }
    if json {
        let mut line = serde_json::to_vec(&printed.record)?;
        line.push(b'\n');
        put(&stdout, &line)?;
    }
    Ok(())
}

fn copy(mut output: SpooledTempFile, to: &impl AsFd) -> io::Result<()> {
    let mut buffer = [0; 64 * 1024];
    loop {
        match output.read(&mut buffer)? {
            0 => return Ok(()),
            count => put(to, &buffer[..count])?,
        }
    }
}

/// Writes all of it, also to a descriptor that somebody has made non-blocking.
fn put(to: &impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match write(to.as_fd(), bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                let mut fds = [PollFd::new(to.as_fd(), PollFlags::POLLOUT)];
                let _ = poll(&mut fds, PollTimeout::NONE);
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
