//! A descriptor for a process (pidfd_open(2)): unlike a pid it never comes to mean another process.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

/// Opens a pidfd for `pid`. It is close-on-exec, as the kernel makes all of them.
///
/// # Errors
/// `ESRCH` when there is no such process (on some kernels `EINVAL` while it is dying), `ENOSYS` before Linux 5.3, `EPERM`
/// where a seccomp filter says so.
pub(crate) fn open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two integers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it for us, and descriptors fit into a RawFd.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Sends a signal; never to a process that took over the pid.
///
/// # Errors
/// `ESRCH` once the process was reaped, whoever did it.
pub(crate) fn send_signal(pidfd: BorrowedFd<'_>, signum: i32) -> io::Result<()> {
    send(pidfd, signum, 0)
}

/// Sends a signal to the process group that the process leads or has led, as long as somebody is in it: the kernel gives
/// the number to nobody else meanwhile, and the pidfd knows if it has done so later. Linux 6.9.
///
/// # Errors
/// `ESRCH` once nobody is left; `EINVAL` before Linux 6.9.
pub(crate) fn send_signal_to_group(pidfd: BorrowedFd<'_>, signum: i32) -> io::Result<()> {
    send(pidfd, signum, PIDFD_SIGNAL_PROCESS_GROUP)
}

fn send(pidfd: BorrowedFd<'_>, signum: i32, flags: libc::c_uint) -> io::Result<()> {
    let (fd, info) = (pidfd.as_raw_fd(), ptr::null::<libc::siginfo_t>());
    // SAFETY: a null siginfo asks the kernel to fill it as kill(2) does.
    match unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signum, info, flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The status, as wait(2) encodes it, of a process that somebody else has reaped. Linux 6.15; `None` where the kernel
/// does not tell.
pub(crate) fn status_after_reaping(pidfd: BorrowedFd<'_>) -> Option<i32> {
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: the request's number holds the size of the struct, which the kernel does not write past.
    let done = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO as _, &raw mut info) };
    (done == 0 && info.mask & PIDFD_INFO_EXIT != 0).then_some(info.exit_code)
}

/// A copy of a pidfd that somebody has lent as a bare number, close-on-exec.
///
/// # Errors
/// `EBADF` if the lender has closed it, `EMFILE`.
pub(crate) fn duplicate(lent: i64) -> io::Result<OwnedFd> {
    let lent = RawFd::try_from(lent).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: the call takes integers; a number that is no descriptor is `EBADF`. From 3 up, so that the copy cannot
    // take the place of a closed standard stream.
    let fd = unsafe { libc::fcntl(lent, libc::F_DUPFD_CLOEXEC, 3) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `struct pidfd_info` of linux/pidfd.h in its first size, 64 bytes, which every later kernel accepts.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroupid: u64,
    /// pid, tgid, ppid and the eight user and group ids.
    ids: [u32; 11],
    exit_code: i32,
}

const PIDFD_SIGNAL_PROCESS_GROUP: libc::c_uint = 1 << 2;

const PIDFD_INFO_EXIT: u64 = 1 << 3;

/// `_IOWR(0xFF, 11, struct pidfd_info)`; the encoding of x86_64 and aarch64.
const PIDFD_GET_INFO: u32 = 3 << 30 | (size_of::<PidfdInfo>() as u32) << 16 | 0xff << 8 | 11;
