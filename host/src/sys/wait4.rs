//! wait4(2), for sandboxes that forbid waitid(2). It cannot leave a status in place: that is looked up in `/proc`.

use std::{fs, io, mem::MaybeUninit, thread, time::Duration};

use super::wait::{Waited, child_exit};
use crate::ChildExit;

/// How often it is looked whether a child has exited.
const PAUSE: Duration = Duration::from_millis(10);

/// Takes the status of a child that has exited; never waits.
pub(super) fn take(pid: i32) -> io::Result<Waited> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // SAFETY: status and usage are valid for writing during the call.
        match unsafe { libc::wait4(pid, &raw mut status, libc::WNOHANG, usage.as_mut_ptr()) } {
            0 => return Ok(Waited::Alive),
            -1 => {}
            // SAFETY: all zeroes is a value, and the kernel has filled in what it had to say.
            _ => return Ok(Waited::Exited(child_exit(status, &unsafe { usage.assume_init() }))),
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::ECHILD) => return Ok(Waited::NoChild),
            _ => return Err(error),
        }
    }
}

/// Looks at a child and leaves its status in place; never waits. What it tells of an exit is only that there was one.
pub(super) fn peek(pid: i32) -> io::Result<Waited> {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        // The name in parentheses may contain anything, parentheses too.
        Ok(stat) if stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('Z')) => {
            // Its first thread is over. The process is when the others are too.
            let threads = fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
            Ok(if threads > 1 { Waited::Alive } else { Waited::Exited(ChildExit::new(0)) })
        }
        Ok(_) => Ok(Waited::Alive),
        // ESRCH: it went between opening and reading.
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(Waited::NoChild),
        Err(error) if error.kind() == io::ErrorKind::NotFound && fs::exists("/proc/self/stat")? => {
            Ok(Waited::NoChild)
        }
        Err(error) => Err(error),
    }
}

/// Waits until the child has exited, and leaves its status in place.
pub(super) fn until_exited(pid: i32) -> io::Result<Waited> {
    loop {
        match peek(pid)? {
            Waited::Alive => thread::sleep(PAUSE),
            over => return Ok(over),
        }
    }
}
