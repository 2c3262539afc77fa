//! Signals that are blocked everywhere, read from a descriptor: signalfd(2).

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use super::{signal_arrival::SignalArrival, signal_set::to_libc};
use crate::process::SignalSet;

/// A descriptor that is readable while one of its signals is pending for the process or the thread that polls.
pub(crate) struct SignalFd(OwnedFd);

impl SignalFd {
    /// A descriptor for no signal yet.
    pub(crate) fn new() -> io::Result<Self> {
        let fd = signalfd(-1, SignalSet::EMPTY)?;
        // SAFETY: a fresh descriptor that nobody else has.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Replaces the signals. Who polls the descriptor is woken if one of them is pending.
    pub(crate) fn watch(&self, set: SignalSet) -> io::Result<()> {
        signalfd(self.0.as_raw_fd(), set).map(drop)
    }

    /// Takes one pending signal, or `None`.
    pub(crate) fn take(&self) -> io::Result<Option<SignalArrival>> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: the buffer has room for `size` bytes.
        let read = unsafe { libc::read(self.0.as_raw_fd(), info.as_mut_ptr().cast(), size) };
        if read < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
        }
        // SAFETY: a signalfd gives whole structs, and all bytes are valid for one.
        let info = unsafe { info.assume_init() };
        Ok(Some(SignalArrival::new(info.ssi_signo as i32, info.ssi_code, info.ssi_pid)))
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn signalfd(fd: i32, set: SignalSet) -> io::Result<i32> {
    let set = to_libc(set);
    // SAFETY: `fd` is −1 or a signalfd that the caller owns; the set is valid for the call.
    match unsafe { libc::signalfd(fd, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) } {
        -1 => Err(io::Error::last_os_error()),
        fd => Ok(fd),
    }
}
