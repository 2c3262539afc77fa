//! A child as the suite sees it.

use std::os::fd::{AsRawFd, OwnedFd};

use loophost_testkit::Child as SuiteChild;

use crate::{Error, Fd, host::Reaped, process::Child};

pub(super) struct HostChild(pub(super) Child);

impl SuiteChild for HostChild {
    fn pid(&self) -> i64 {
        self.0.pid()
    }

    fn pidfd(&self) -> Fd {
        self.0.pidfd().map_or(-1, |fd| fd.as_raw_fd().into())
    }

    fn returncode(&self) -> Option<i32> {
        self.0.returncode()
    }

    fn was_reaped_by_host(&self) -> bool {
        matches!(self.0.end(), Some(Reaped::Exited(_)))
    }

    fn send_signal(&self, signum: i32) -> Result<(), Error> {
        self.0.send_signal(signum)
    }

    fn take_stdin(&mut self) -> Option<OwnedFd> {
        self.0.stdin.take()
    }

    fn take_stdout(&mut self) -> Option<OwnedFd> {
        self.0.stdout.take()
    }
}
