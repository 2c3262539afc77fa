//! read(2) and write(2) on what is no socket, without blocking, whether or not the descriptor would block.

use std::io;

use libc::{EAGAIN, EINVAL, ENOSYS, EOPNOTSUPP, EPERM, iovec};
use loophost_plugin_api::{Interest, IoVec, OpCode};

use super::{counted, ready};
use crate::operation::Operation;

/// What a pipe takes at once if it says that it takes anything (`PIPE_BUF` is at least that).
const SMALL: usize = 512;
/// What the kernel transfers at the most in one call.
const LARGEST: u64 = 0x7fff_f000;
/// How many parts the kernel takes in one call (`IOV_MAX`).
const MOST_PARTS: u64 = 1024;

/// The parts of an operation's memory.
///
/// # Errors
/// `EINVAL` for more parts than the system takes.
pub(super) fn parts(operation: &Operation) -> io::Result<Vec<iovec>> {
    let (ptr, len) = (operation.ptr, operation.len);
    if !matches!(operation.code, OpCode::READV | OpCode::WRITEV) {
        return Ok(vec![iovec { iov_base: ptr, iov_len: len.min(LARGEST) as usize }]);
    }
    if len > MOST_PARTS || (ptr.is_null() && len > 0) {
        return Err(io::Error::from_raw_os_error(EINVAL));
    }
    let part = |index| {
        // SAFETY: the submitter has promised that `len` parts lie at `ptr`; `index` is below.
        let part = unsafe { ptr.cast::<IoVec>().add(index).read() };
        iovec { iov_base: part.ptr, iov_len: part.len as usize }
    };
    Ok((0..len as usize).map(part).collect())
}

pub(super) fn read(fd: i32, operation: &Operation) -> io::Result<i64> {
    let parts = parts(operation)?;
    let (first, count) = (parts.as_ptr(), parts.len() as i32);
    // SAFETY: the parts are memory that the submitter has promised; the kernel checks the descriptor.
    match counted(unsafe { libc::preadv2(fd, first, count, -1, libc::RWF_NOWAIT) }) {
        Err(error) if is_unknown(&error) => {}
        result => return result,
    }
    // Files whose drivers know nothing of that: terminals, and on older kernels pipes.
    must_be_ready(fd, Interest::READ)?;
    // SAFETY: as above.
    counted(unsafe { libc::readv(fd, first, count) })
}

pub(super) fn write(fd: i32, operation: &Operation) -> io::Result<i64> {
    let mut parts = parts(operation)?;
    let (first, count) = (parts.as_mut_ptr(), parts.len() as i32);
    // SAFETY: as in `read`.
    match counted(unsafe { libc::pwritev2(fd, first, count, -1, libc::RWF_NOWAIT) }) {
        Err(error) if is_unknown(&error) => {}
        result => return result,
    }
    must_be_ready(fd, Interest::WRITE)?;
    // There is room, but not necessarily for everything.
    let Some(part) = parts.iter_mut().find(|part| part.iov_len > 0) else { return Ok(0) };
    part.iov_len = part.iov_len.min(SMALL);
    // SAFETY: as in `read`.
    counted(unsafe { libc::writev(fd, part, 1) })
}

fn is_unknown(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(EOPNOTSUPP | ENOSYS | EPERM))
}

fn must_be_ready(fd: i32, interest: Interest) -> io::Result<()> {
    if ready(fd, interest)?.is_empty() { Err(io::Error::from_raw_os_error(EAGAIN)) } else { Ok(()) }
}
