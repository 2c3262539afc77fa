//! An output that nobody reads.

use std::{
    ffi::OsStr,
    fs::{File, OpenOptions},
    io::{ErrorKind, Write},
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    path::PathBuf,
    process::Command,
};

use loophost_tests::{binary, command, eventually};
use nix::{sys::stat::Mode, unistd::mkfifo};
use tempfile::TempDir;

/// A FIFO that is open for reading, and that nobody reads.
pub(crate) struct Unread {
    folder: TempDir,
    fifo: File,
}

impl Unread {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("fifo");
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        let fifo =
            OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path).unwrap();
        Self { folder, fifo }
    }

    /// Fills it: whoever writes to it waits.
    pub(crate) fn fill(&self) {
        loop {
            match (&self.fifo).write(&[0; 4096]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Waits until it is full.
    pub(crate) fn expect_full(&self) {
        // SAFETY: the call takes integers, and the request below writes one.
        let size = unsafe { libc::fcntl(self.fifo.as_raw_fd(), libc::F_GETPIPE_SZ) };
        eventually("a full FIFO", || {
            let mut count = 0;
            // SAFETY: as above.
            let done = unsafe { libc::ioctl(self.fifo.as_raw_fd(), libc::FIONREAD, &raw mut count) };
            // The last write may not fit into what is left.
            (done == 0 && count > size - 4096).then_some(())
        });
    }

    /// `loophost ARGS… > FIFO`, or `2> FIFO`.
    pub(crate) fn as_output<S: AsRef<OsStr>>(
        &self,
        redirection: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut shell = command("sh");
        shell.args(["-c", &format!("exec \"$@\" {redirection} \"$0\"")]).arg(self.path()).arg(binary());
        shell.args(args);
        shell
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("fifo")
    }
}
