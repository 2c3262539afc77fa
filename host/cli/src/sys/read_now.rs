//! Reading without waiting, on a descriptor that is not ours alone.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

/// Reads what is there now; `WouldBlock` if nothing is. Unlike `O_NONBLOCK` that changes nothing for whoever else holds the
/// open file. Where the kernel does not know how for this kind of file (terminals), it may wait.
pub(crate) fn read_now(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: `part` describes `buffer`, which is ours to write for the time of the call, and the descriptor is open.
    let count = unsafe { libc::preadv2(fd.as_raw_fd(), &raw const part, 1, -1, libc::RWF_NOWAIT) };
    match usize::try_from(count) {
        Ok(count) => Ok(count),
        Err(_) => match io::Error::last_os_error() {
            error if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EPERM)) => {
                Ok(nix::unistd::read(fd, buffer)?)
            }
            error => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::fd::AsFd};

    use super::*;

    #[test]
    fn an_empty_pipe_keeps_nobody_waiting() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut buffer = [0; 8];
        assert_eq!(read_now(reader.as_fd(), &mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        writer.write_all(b"abc").unwrap();
        assert_eq!(read_now(reader.as_fd(), &mut buffer).unwrap(), 3);
        drop(writer);
        assert_eq!(read_now(reader.as_fd(), &mut buffer).unwrap(), 0);
    }
}
