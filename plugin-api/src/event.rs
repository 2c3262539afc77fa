//! What a callback is told.

use std::{ffi::c_void, marker::PhantomData, mem::offset_of, ptr};

use abi_stable::{
    StableAbi,
    std_types::{RSlice, RStr},
};

use crate::{
    Error, KeyValue,
    growing::{self, Growing},
};

/// What happened, lent to a callback for the time of its call.
///
/// Kind and data belong together, so only the functions here set them; and what the data points to is lent for `'a`:
///
/// ```compile_fail,E0716
/// use loophost_plugin_api::{ChildExit, Event};
///
/// let event = Event::child(7, &ChildExit::new(0), 0);
/// event.child_exit();
/// ```
/// ```compile_fail,E0616
/// use loophost_plugin_api::{ChildExit, Event, EventKind};
///
/// let exit = ChildExit::new(0);
/// Event::child(7, &exit, 0).kind = EventKind::EXCEPTION;
/// ```
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct Event<'a> {
    kind: EventKind,
    /// Bits of the kind: `Event::STATUS_LOST` and so on. Each kind has its own, so that one bit may say two things;
    /// those that are unknown are ignored.
    pub flags: u32,
    /// The result, by kind: a returncode, ready bits, or the number of a signal.
    pub result: i64,
    /// A second number, by kind: CHILD: the pid of the child. SIGNAL: the pid of the process that sent it, for SIGCHLD
    /// that of the child, 0 if it is not known. COMPLETION: the length of the address that was filled in, if the
    /// operation has one.
    pub aux: u64,
    /// Null, or a struct of the kind that begins with its own size.
    data: *const c_void,
    lent: PhantomData<&'a ()>,
}

/// The kinds of [`Event`]. New kinds may come; a callback ignores those that it does not know. Those from 2³¹ on are
/// plugins' own.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EventKind(pub u32);

impl EventKind {
    /// Called by `call_soon` or `call_soon_threadsafe`.
    pub const SOON: Self = Self(0);
    /// Called by a timer that is due.
    pub const TIMER: Self = Self(1);
    /// The descriptor of a reader or writer is ready.
    pub const READY: Self = Self(2);
    /// The descriptor of `watch_io` is ready; `result` holds the bits of [`Interest`](crate::Interest).
    pub const IO: Self = Self(3);
    /// A signal arrived, perhaps several times; `result` is its number, `aux` the sender's pid.
    pub const SIGNAL: Self = Self(4);
    /// An operation has an event; `result` ≥ 0 or −errno.
    pub const COMPLETION: Self = Self(5);
    /// A child has exited; `result` is its returncode, `aux` its pid, `data` a [`ChildExit`].
    pub const CHILD: Self = Self(6);
    /// For an exception handler; `data` is an [`ExceptionContext`].
    pub const EXCEPTION: Self = Self(7);
}

impl Event<'_> {
    /// CHILD: somebody else took the status, the returncode 255 stands for "unknown".
    pub const STATUS_LOST: u32 = 1;
    /// CHILD: the child left a core dump.
    pub const CORE_DUMPED: u32 = 1 << 1;
    /// CHILD: somebody else took the status, but the kernel still knew it.
    pub const RECOVERED: u32 = 1 << 2;
    /// COMPLETION: more events of this operation follow.
    pub const MORE: u32 = 1 << 3;
    /// SIGNAL: the kernel itself sent it, as it does for a terminal's ^C.
    pub const FROM_KERNEL: u32 = 1;

    /// An event of a kind that carries nothing else.
    pub const fn new(kind: EventKind) -> Self {
        Self::with_result(kind, 0)
    }

    /// An event with a number.
    pub const fn with_result(kind: EventKind, result: i64) -> Self {
        Self { kind, flags: 0, result, aux: 0, data: ptr::null(), lent: PhantomData }
    }

    /// Which kind it is.
    #[inline]
    pub const fn kind(&self) -> EventKind {
        self.kind
    }
}

impl<'a> Event<'a> {
    /// The exit of child `pid`.
    pub fn child(pid: i64, exit: &'a ChildExit, flags: u32) -> Self {
        let lost = flags & Self::STATUS_LOST != 0;
        Self {
            flags: if exit.core_dumped() { flags | Self::CORE_DUMPED } else { flags },
            aux: pid.unsigned_abs(),
            data: ptr::from_ref(exit).cast(),
            ..Self::with_result(EventKind::CHILD, if lost { 255 } else { i64::from(exit.returncode()) })
        }
    }

    /// The exit that a CHILD event describes.
    pub fn child_exit(&self) -> Option<ChildExit> {
        if self.kind != EventKind::CHILD {
            return None;
        }
        // SAFETY: the fields are private: `child` made this event (here or in another file), so `data` points to a
        // ChildExit that is lent for 'a.
        unsafe { growing::read(self.data.cast()) }
    }

    /// The context that an EXCEPTION event describes.
    pub fn exception(&self) -> Option<ExceptionContext<'a>> {
        if self.kind != EventKind::EXCEPTION {
            return None;
        }
        // SAFETY: as above: `ExceptionContext::event` made this event, of a context that is lent for 'a.
        unsafe { growing::read(self.data.cast()) }
    }
}

/// How a child ended: the status that waitid(2) gave and what the child has used.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChildExit {
    /// The size of this struct, which may grow at its end: so nobody else sets it.
    size: u32,
    /// The status as wait(2) encodes it.
    pub raw_status: i32,
    /// Processor time spent in user mode, in microseconds.
    pub utime_us: u64,
    /// Processor time spent in the kernel, in microseconds.
    pub stime_us: u64,
    /// The largest resident set, in units of 1024 bytes.
    pub maxrss_kb: u64,
}

// SAFETY: it is as the trait wants it, and only `new` sets the size.
unsafe impl Growing for ChildExit {
    const SMALLEST: usize = offset_of!(Self, maxrss_kb) + size_of::<u64>();
    const EMPTY: Self = Self::new(0);
}

impl ChildExit {
    /// An exit with a status and no figures.
    pub const fn new(raw_status: i32) -> Self {
        Self { size: size_of::<Self>() as u32, raw_status, utime_us: 0, stime_us: 0, maxrss_kb: 0 }
    }

    /// asyncio's returncode: 0..255, or −N when signal N ended the process; a status that is neither is
    /// returned as it is.
    pub const fn returncode(&self) -> i32 {
        let (low, high) = (self.raw_status & 0x7f, self.raw_status >> 8 & 0xff);
        match low {
            0 => high,
            0x7f => self.raw_status,
            signal => -signal,
        }
    }

    /// Whether a core dump was left.
    pub const fn core_dumped(&self) -> bool {
        self.raw_status & 0x7f != 0 && self.raw_status & 0x80 != 0
    }
}

/// What an exception handler is told (asyncio: the `context` of `call_exception_handler`).
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct ExceptionContext<'a> {
    /// The size of this struct, which may grow at its end: so nobody else sets it.
    size: u32,
    /// What went wrong, for people.
    pub message: RStr<'a>,
    /// The error of the callback, if there is one.
    pub error: Option<&'a Error>,
    /// `loop`, `callback` and whatever else the loop knows.
    pub details: RSlice<'a, KeyValue>,
}

// SAFETY: it is as the trait wants it, and only `new` sets the size.
unsafe impl Growing for ExceptionContext<'_> {
    const SMALLEST: usize = offset_of!(Self, details) + size_of::<RSlice<'_, KeyValue>>();
    const EMPTY: Self =
        Self { size: size_of::<Self>() as u32, message: RStr::empty(), error: None, details: RSlice::EMPTY };
}

impl<'a> ExceptionContext<'a> {
    /// A context; it lends everything that it is made of.
    pub fn new(message: &'a str, error: Option<&'a Error>, details: &'a [KeyValue]) -> Self {
        let size = size_of::<Self>() as u32;
        Self { size, message: message.into(), error, details: details.into() }
    }

    /// The event to call the handler with.
    pub fn event(&self) -> Event<'_> {
        Event { data: ptr::from_ref(self).cast(), ..Event::new(EventKind::EXCEPTION) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returncodes_are_asyncio_s() {
        assert_eq!(ChildExit::new(0).returncode(), 0);
        assert_eq!(ChildExit::new(3 << 8).returncode(), 3);
        assert_eq!(ChildExit::new(9).returncode(), -9);
        assert_eq!(ChildExit::new(0x80 | 6).returncode(), -6);
        assert_eq!(ChildExit::new(0x137f).returncode(), 0x137f, "stopped: not an exit");
    }

    #[test]
    fn a_lost_status_is_255() {
        let exit = ChildExit::new(0);
        let event = Event::child(7, &exit, Event::STATUS_LOST);
        assert_eq!((event.result, event.aux), (255, 7));
    }
}
