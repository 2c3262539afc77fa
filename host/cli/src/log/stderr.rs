//! Standard error, which is never waited for without end.
//!
//! Whoever reads it may have stopped: a full pipe, a terminal after ^S. The thread that logs is the one that forwards
//! signals, so it must go on.

use std::{
    io::{self, Write},
    os::fd::AsFd,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

/// As much as a pipe that can be written to at all takes at once (`PIPE_BUF`).
const AT_ONCE: usize = 4096;

/// Lines that nobody had room for, since the last one that was written.
static LOST: AtomicU64 = AtomicU64::new(0);

/// For log lines: one that cannot be written at once is lost, and how many were is told later.
#[derive(Debug)]
pub(super) struct LogLines;

impl Write for LogLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if !is_writable(Duration::ZERO) {
            LOST.fetch_add(1, Relaxed);
            return Ok(line.len());
        }
        let lost = LOST.swap(0, Relaxed);
        if lost > 0 {
            write_within(super::line(&format!("{lost} log lines were lost")).as_bytes(), Duration::ZERO);
        }
        write_within(line, Duration::ZERO);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes as far as there is room, waiting for more of it no longer than `patience` each time. What cannot be written
/// cannot be told either.
pub(super) fn write_within(text: &[u8], patience: Duration) {
    for part in text.chunks(AT_ONCE) {
        if !is_writable(patience) || io::stderr().write_all(part).is_err() {
            return;
        }
    }
}

fn is_writable(patience: Duration) -> bool {
    let stderr = io::stderr();
    let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
    loop {
        match poll(&mut [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)], timeout) {
            Ok(ready) => return ready > 0,
            Err(Errno::EINTR) => {}
            // Then writing may work all the same.
            Err(_) => return true,
        }
    }
}
