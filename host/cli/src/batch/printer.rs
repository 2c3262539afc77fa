//! The thread that writes. It alone waits for whoever reads standard output and standard error.

use std::{
    io::{self, IsTerminal, Read},
    os::fd::AsFd,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::write,
};
use tempfile::SpooledTempFile;

use super::{
    bar::Bar,
    printed::Printed,
    writer::{Message, Shared},
};
use crate::log;

/// Messages that are written before the progress bar is shown again.
const BETWEEN_BARS: usize = 64;

/// What the thread has.
pub(super) struct Printer {
    /// What the loop's thread sees of this one.
    shared: Arc<Shared>,
    /// Until the end of the batch, on a terminal.
    bar: Option<Bar>,
    /// Whether records are written.
    json: bool,
    /// Whether standard output is seen where standard error is.
    stdout_is_terminal: bool,
    /// Whether what was last written there lacks the end of its line.
    is_mid_line: bool,
    /// Whether an output could not be written: then no other one is.
    is_broken: bool,
}

impl Printer {
    pub(super) fn new(shared: Arc<Shared>, bar: Option<Bar>, json: bool) -> Self {
        let stdout_is_terminal = io::stdout().is_terminal();
        Self { shared, bar, json, stdout_is_terminal, is_mid_line: false, is_broken: false }
    }

    /// Writes until nothing can come any more.
    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        loop {
            let Some(mut bar) = self.bar.take() else {
                let Ok(message) = messages.recv() else { return };
                self.write(message);
                continue;
            };
            let mut is_end = false;
            match messages.recv_timeout(Bar::TICK) {
                Ok(first) => bar.suspend(|| {
                    let more = messages.try_iter().take(BETWEEN_BARS);
                    for message in std::iter::once(first).chain(more) {
                        is_end |= matches!(message, Message::End(_));
                        self.write(message);
                    }
                    self.end_line();
                }),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => is_end = true,
            }
            if is_end {
                bar.clear();
            } else {
                bar.draw();
                self.bar = Some(bar);
            }
        }
    }

    fn write(&mut self, message: Message) {
        let files = match message {
            Message::Log(line) => {
                self.put_line(&line);
                let lost = self.shared.log_written();
                if lost > 0 {
                    self.say(&format!("{lost} log lines were lost: standard error is too slow"));
                }
                return;
            }
            Message::Output(printed) => {
                let files = printed.files();
                if !self.is_broken
                    && let Err(error) = self.print(*printed)
                {
                    self.is_broken = true;
                    self.shared.fail(error);
                }
                files
            }
            Message::Line(line) => {
                self.say(&line);
                0
            }
            Message::End(line) => {
                if let Some(line) = line {
                    self.say(&line);
                }
                0
            }
        };
        self.shared.written(files);
    }

    /// With `json` standard output carries the records and nothing else: what jobs print goes to standard error.
    fn print(&mut self, printed: Printed) -> io::Result<()> {
        if let Some(output) = printed.stdout {
            if self.json {
                self.copy(output, &io::stderr(), true)?;
            } else {
                self.copy(output, &io::stdout(), self.stdout_is_terminal)?;
            }
        }
        if let Some(output) = printed.stderr {
            self.copy(output, &io::stderr(), true)?;
        }
        if self.json {
            let mut line = serde_json::to_vec(&printed.record)?;
            line.push(b'\n');
            put(&io::stdout(), &line)?;
        }
        Ok(())
    }

    /// Writes an output to a stream; `is_seen` where loophost's own lines are.
    fn copy(&mut self, mut output: SpooledTempFile, to: &impl AsFd, is_seen: bool) -> io::Result<()> {
        let mut buffer = [0; 64 * 1024];
        loop {
            let count = output.read(&mut buffer)?;
            let Some(last) = buffer[..count].last() else { return Ok(()) };
            if is_seen {
                self.is_mid_line = *last != b'\n';
            }
            put(to, &buffer[..count])?;
        }
    }

    fn say(&mut self, message: &str) {
        self.put_line(log::line(message).as_bytes());
    }

    /// A line of loophost's own on standard error. A closed one cannot be told.
    fn put_line(&mut self, line: &[u8]) {
        self.end_line();
        let _ = put(&io::stderr(), line);
    }

    /// What loophost itself writes is not part of what a job has printed.
    fn end_line(&mut self) {
        if std::mem::take(&mut self.is_mid_line) {
            let _ = put(&io::stderr(), b"\n");
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
