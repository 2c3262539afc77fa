//! What the kernel says of a signal that has arrived.

/// A signal that has arrived, once or several times: signals of one number are merged while nobody looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SignalArrival {
    pub(crate) signum: i32,
    /// Sent by the kernel itself, as a terminal's ^C is (`SI_KERNEL`).
    pub(crate) from_kernel: bool,
    /// The pid of the process that sent it, or for `SIGCHLD` of the child; 0 if the kernel did not say.
    pub(crate) sender: u32,
}

impl SignalArrival {
    const FROM_KERNEL: u64 = 1 << 32;

    /// Everything but the number, in one word for an atomic.
    pub(super) fn pack(self) -> u64 {
        u64::from(self.sender) | if self.from_kernel { Self::FROM_KERNEL } else { 0 }
    }

    pub(super) fn unpack(signum: i32, word: u64) -> Self {
        Self { signum, from_kernel: word & Self::FROM_KERNEL != 0, sender: word as u32 }
    }

    /// From `si_code` and `si_pid`, which means something for signals that a process sent and for `SIGCHLD` only.
    pub(super) fn new(signum: i32, code: i32, pid: u32) -> Self {
        let has_pid = code <= 0 || signum == libc::SIGCHLD;
        Self { signum, from_kernel: code == libc::SI_KERNEL, sender: if has_pid { pid } else { 0 } }
    }
}
