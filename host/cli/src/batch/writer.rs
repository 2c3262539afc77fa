//! The way of all that is written, from the loop's thread to the one that waits for its readers.

use std::{
    error::Error,
    io,
    os::fd::{AsFd, AsRawFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use loophost::Fd;
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};

use super::{printed::Printed, printer::Printer};
use crate::log::{self, Diversion};

/// Log lines that may wait. Those beyond are lost, and that is told: the loop does not wait for standard error.
const LOG_LINES: usize = 10_000;

/// What is to be written.
pub(super) enum Message {
    /// What a job has left.
    Output(Box<Printed>),
    /// A line of loophost's own.
    Line(String),
    /// A log line, ended.
    Log(Vec<u8>),
    /// Nothing comes any more but log lines; what is to be said at last.
    End(Option<String>),
}

/// The writing end, in the loop's thread. Nothing here waits but [`finish`](Self::finish).
pub(super) struct Writer {
    /// What the thread sees too.
    shared: Arc<Shared>,
    /// `None` once everything was given.
    sender: Option<Sender<Message>>,
    /// `None` once it has ended.
    thread: Option<JoinHandle<()>>,
    /// While it lasts, log lines come here too.
    diversion: Option<Diversion>,
}

/// What both threads see.
pub(super) struct Shared {
    /// Messages but log lines: given, and not written yet.
    waiting: AtomicUsize,
    /// Temporary files that those hold.
    files: AtomicUsize,
    /// Log lines, given and not written yet.
    log_lines: AtomicUsize,
    /// Log lines that were not given, because too many wait.
    lost_log_lines: AtomicUsize,
    /// Why nothing can be written any more, until the loop's thread has taken note.
    failure: Mutex<Option<io::Error>>,
    /// Whether the thread is at its end.
    is_over: AtomicBool,
    /// Readable when something of this has changed.
    news: EventFd,
}

impl Writer {
    /// Starts the thread. From now on it also writes this process's log lines.
    pub(super) fn start(make: impl FnOnce(Arc<Shared>) -> Printer) -> Result<Self, Box<dyn Error>> {
        let failed = |error: io::Error| format!("starting the thread that writes the jobs' outputs: {error}");
        let shared = Arc::new(Shared::new().map_err(failed)?);
        let printer = make(shared.clone());
        let mut writer = Self::with(shared, move |messages| printer.run(&messages)).map_err(failed)?;
        let (sender, shared) = (writer.sender.clone(), writer.shared.clone());
        writer.diversion = sender.map(|sender| log::divert(move |line| shared.log(&sender, line)));
        Ok(writer)
    }

    fn with(shared: Arc<Shared>, run: impl FnOnce(Receiver<Message>) + Send + 'static) -> io::Result<Self> {
        let (sender, messages) = mpsc::channel();
        let over = Over(shared.clone());
        let thread = thread::Builder::new().name("loophost-writer".into()).spawn(move || {
            let _over = over;
            run(messages);
        })?;
        Ok(Self { shared, sender: Some(sender), thread: Some(thread), diversion: None })
    }

    /// Has a job's output written.
    pub(super) fn give(&self, printed: Printed) {
        self.send(Message::Output(Box::new(printed)));
    }

    /// Has something said that is not a log line.
    pub(super) fn say(&self, message: String) {
        self.send(Message::Line(message));
    }

    /// Has the progress bar taken away, and something said at last.
    pub(super) fn end(&self, message: Option<String>) {
        self.send(Message::End(message));
    }

    fn send(&self, message: Message) {
        let Some(sender) = &self.sender else { return };
        let files = message.files();
        self.shared.waiting.fetch_add(1, SeqCst);
        self.shared.files.fetch_add(files, SeqCst);
        // The thread ends first only by a panic, of which its end tells.
        if sender.send(message).is_err() {
            self.shared.waiting.fetch_sub(1, SeqCst);
            self.shared.files.fetch_sub(files, SeqCst);
        }
    }

    /// How much has not been written yet.
    pub(super) fn waiting(&self) -> usize {
        if self.shared.is_over() { 0 } else { self.shared.waiting.load(SeqCst) }
    }

    /// How many temporary files that holds.
    pub(super) fn files(&self) -> usize {
        if self.shared.is_over() { 0 } else { self.shared.files.load(SeqCst) }
    }

    /// Readable after something was written or could not be.
    pub(super) fn news(&self) -> Fd {
        self.shared.news.as_fd().as_raw_fd().into()
    }

    /// Takes note of the news.
    pub(super) fn read_news(&self) {
        let _ = self.shared.news.read();
    }

    /// Why nothing can be written any more, once.
    pub(super) fn take_failure(&self) -> Option<io::Error> {
        self.shared.failure().take()
    }

    /// Waits until everything is written, or for so long; then what is left is not written.
    pub(super) fn finish(&mut self, limit: Duration) {
        self.diversion = None;
        self.sender = None;
        let deadline = Instant::now() + limit;
        while !self.shared.is_over() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let _ = poll(&mut [PollFd::new(self.shared.news.as_fd(), PollFlags::POLLIN)], timeout);
            self.read_news();
        }
        if let Some(thread) = self.thread.take() {
            // A panic was reported, and it is the failure.
            let _ = thread.join();
        }
    }
}

impl Message {
    fn files(&self) -> usize {
        if let Self::Output(printed) = self { printed.files() } else { 0 }
    }
}

impl Shared {
    fn new() -> io::Result<Self> {
        Ok(Self {
            waiting: AtomicUsize::new(0),
            files: AtomicUsize::new(0),
            log_lines: AtomicUsize::new(0),
            lost_log_lines: AtomicUsize::new(0),
            failure: Mutex::new(None),
            is_over: AtomicBool::new(false),
            news: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
        })
    }

    fn is_over(&self) -> bool {
        self.is_over.load(SeqCst)
    }

    fn failure(&self) -> MutexGuard<'_, Option<io::Error>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Any thread.
    fn log(&self, sender: &Sender<Message>, line: &[u8]) {
        if self.log_lines.load(Relaxed) >= LOG_LINES {
            self.lost_log_lines.fetch_add(1, Relaxed);
            return;
        }
        self.log_lines.fetch_add(1, Relaxed);
        let _ = sender.send(Message::Log(line.to_owned()));
    }

    /// A log line was written: how many could not be given meanwhile.
    pub(super) fn log_written(&self) -> usize {
        self.log_lines.fetch_sub(1, Relaxed);
        self.lost_log_lines.swap(0, Relaxed)
    }

    /// A message was written that held so many files.
    pub(super) fn written(&self, files: usize) {
        self.files.fetch_sub(files, SeqCst);
        self.waiting.fetch_sub(1, SeqCst);
        let _ = self.news.write(1);
    }

    /// Nothing can be written any more.
    pub(super) fn fail(&self, error: io::Error) {
        *self.failure() = Some(error);
    }
}

/// Tells of the thread's end, however it comes.
struct Over(Arc<Shared>);

impl Drop for Over {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail(io::Error::other("the thread that writes has panicked"));
        }
        self.0.is_over.store(true, SeqCst);
        let _ = self.0.news.write(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(run: impl FnOnce(Receiver<Message>) + Send + 'static) -> Writer {
        Writer::with(Arc::new(Shared::new().unwrap()), run).unwrap()
    }

    /// Waits as the loop does.
    fn wait_for_news(writer: &Writer) {
        let fd = writer.shared.news.as_fd();
        poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
    }

    #[test]
    fn a_panic_of_the_thread_is_a_failure_and_nothing_is_waited_for() {
        let mut writer = writer(|messages| {
            messages.recv().unwrap();
            panic!("this is a test");
        });
        writer.say("first".to_owned());
        wait_for_news(&writer);
        writer.say("second".to_owned());
        assert_eq!((writer.waiting(), writer.files()), (0, 0));
        assert!(writer.take_failure().unwrap().to_string().contains("panicked"));
        assert!(writer.take_failure().is_none());
        writer.finish(Duration::MAX / 4);
    }

    #[test]
    fn log_lines_that_nobody_reads_are_bounded() {
        let writer = writer(drop);
        let (sender, waiting) = mpsc::channel();
        for _ in 0..LOG_LINES + 3 {
            writer.shared.log(&sender, b"line\n");
        }
        assert_eq!(waiting.try_iter().count(), LOG_LINES);
        assert_eq!(writer.shared.log_written(), 3);
        assert_eq!(writer.shared.log_written(), 0);
    }
}
