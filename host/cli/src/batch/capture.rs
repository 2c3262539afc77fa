//! What a job prints, kept until it has ended.

use std::{
    io::{self, Seek, SeekFrom, Write},
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use loophost::Fd;
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    unistd::read,
};
use tempfile::SpooledTempFile;

/// What is kept in memory of each stream; more goes to an unlinked temporary file.
const IN_MEMORY: usize = 64 * 1024;

/// Our end of a job's pipe, and what has come out of it.
pub(super) struct Capture {
    /// Where it comes from; never waits.
    pipe: OwnedFd,
    /// What has come.
    kept: SpooledTempFile,
    /// How much that is.
    length: u64,
}

/// What one read has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// There may be more.
    Some,
    /// Nothing for the moment.
    Nothing,
    /// All writers are gone.
    End,
}

impl Capture {
    pub(super) fn new(pipe: OwnedFd) -> io::Result<Self> {
        // The pipe was made for this job: nobody else has this end.
        fcntl(pipe.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Self { pipe, kept: SpooledTempFile::new(IN_MEMORY), length: 0 })
    }

    pub(super) fn fd(&self) -> Fd {
        self.pipe.as_raw_fd().into()
    }

    /// Reads once, never waits.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Read> {
        match read(self.pipe.as_fd(), buffer) {
            Ok(0) => Ok(Read::End),
            Ok(count) => {
                self.kept.write_all(&buffer[..count])?;
                self.length += count as u64;
                Ok(Read::Some)
            }
            Err(Errno::EINTR) => Ok(Read::Some),
            Err(Errno::EAGAIN) => Ok(Read::Nothing),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Reads what is there now: what the job has printed, but not what a grandchild may print later.
    pub(super) fn read_rest(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        // A grandchild that never stops printing must not keep us here. A pipe holds 64 KiB; a job may have made it larger,
        // up to 1 MiB unless it has privileges.
        for _ in 0..64 {
            if self.read(buffer)? != Read::Some {
                break;
            }
        }
        Ok(())
    }

    /// What was printed, to be read from its beginning; `None` if that is nothing.
    pub(super) fn finish(mut self) -> io::Result<Option<SpooledTempFile>> {
        if self.length == 0 {
            return Ok(None);
        }
        self.kept.seek(SeekFrom::Start(0))?;
        Ok(Some(self.kept))
    }
}
