//! Signals: one broker in the process, and any number of subscribers to each signal.
//!
//! Subscribers are called on the broker's own thread, `loophost-signal`, which nothing else can block and which no signal
//! interrupts; a loop hops to its own thread from there. Several arrivals of one signal may come as one event, so
//! an event means "look again", never "once more".
//!
//! # Two ways to get a signal
//! - *By handler*, as a library has to: the handler only marks the signal and writes an eventfd, and calls the handler
//!   that was there before it. It restarts system calls and runs on the alternate stack if there is one. Other code may
//!   put a handler of its own over ours; the next subscription to the signal notices, warns, and goes in front of it,
//!   still calling it. For SIGCHLD, if a child watcher depends on it, that is looked at once a second. The last unsubscription puts the previous disposition back, but never over a foreign handler.
//! - *By mask*, for signals that the program has reserved with [`init_mask`]: they are blocked in every thread and read
//!   from a signalfd, so no handler ever runs.
//!
//! # After fork(2) without exec
//! The child has no subscribers and no broker's thread, and makes its own with its first subscription. Signals sent to
//! it never reach the parent's subscribers. Handlers and mask are inherited, as always.

#[cfg(feature = "async")]
mod arrivals;
mod broker;
mod handler;
mod mask;

#[cfg(feature = "async")]
pub use arrivals::{Arrivals, signal};
use nix::sys::signal::Signal;

use crate::{Error, HandleId, RepeatCallback};

/// Calls `callback` on the broker's thread whenever signal `signum` arrives, until [`unsubscribe`]; the default action
/// does not happen meanwhile. The event is of kind [`EventKind::SIGNAL`](crate::EventKind::SIGNAL), with the number as
/// its result, the sender's pid in `aux` and [`FROM_KERNEL`](crate::Event::FROM_KERNEL) in its flags. Any thread, also
/// from inside a callback.
///
/// Callbacks are called one after the other, in the order of their subscriptions, with no lock held. An error that one
/// returns is logged.
///
/// ```
/// use loophost::{RepeatCallback, signal};
///
/// const SIGHUP: i32 = 1;
/// let callback = RepeatCallback::new(|event| {
///     println!("process {} asks to read the configuration again", event.aux);
///     Ok(())
/// });
/// let subscription = signal::subscribe(SIGHUP, callback)?;
/// assert!(signal::unsubscribe(subscription)?);
/// # Ok::<(), loophost::Error>(())
/// ```
///
/// # Errors
/// `InvalidArgument` for a number that is no signal, cannot be caught, belongs to the C library or is a fault of the
/// program itself; `Os` if the first subscription cannot make the broker's thread or descriptor.
pub fn subscribe(signum: i32, callback: RepeatCallback) -> Result<HandleId, Error> {
    check(signum)?;
    broker::get().subscribe(signum, false, callback)
}

/// Bit of the flags of an event that says: no signal has arrived here, look all the same. The host's own, so it keeps
/// clear of those of the ABI.
pub(crate) const PULSE: u32 = 1 << 31;

/// As [`subscribe`], and once a second the callback is called with [`PULSE`], after [`verify`].
///
/// For who would lose a child if a signal were lost, for a signal can be taken away: other code of the program may
/// ignore it, put a handler of its own in place, or block it in all threads and read it by itself.
pub(crate) fn subscribe_with_pulse(signum: i32, callback: RepeatCallback) -> Result<HandleId, Error> {
    check(signum)?;
    broker::get().subscribe(signum, true, callback)
}

/// If there are subscribers: sees to it that the signal still arrives here, whatever other code has done to its
/// disposition since. One system call. Any thread.
pub(crate) fn verify(signum: i32) -> Result<(), Error> {
    broker::get().verify(signum)
}

/// Ends a subscription; false if there was none. When it returns the callback is not running and will not run again;
/// from inside a callback it does not wait for itself. Any thread.
pub fn unsubscribe(id: HandleId) -> Result<bool, Error> {
    broker::get().unsubscribe(id)
}

/// Reserves signals for subscribers: blocks exactly these, in this thread and all that come after it. Called first thing
/// in `main`, before any other thread exists; a second call adds to the first.
///
/// A reserved signal without a subscriber is held back, at most once, until somebody subscribes: nothing that arrives
/// while the program starts is lost. So reserve what is subscribed to for the life of the program. All other signals keep
/// their effect, and subscriptions to them work by handler. Child processes must be given another mask.
///
/// # Errors
/// `InvalidArgument` as for [`subscribe`], for `SIGTRAP`, `SIGABRT` and `SIGSYS` (the kernel sends them to the thread
/// at fault, blocked or not), and if there are threads already.
pub fn init_mask(signals: &[i32]) -> Result<(), Error> {
    mask::init(signals)
}

/// Whether `signum` may be subscribed to.
fn check(signum: i32) -> Result<(), Error> {
    let why = match signum {
        libc::SIGKILL | libc::SIGSTOP => "cannot be caught",
        libc::SIGSEGV | libc::SIGBUS | libc::SIGFPE | libc::SIGILL => {
            "is a fault of the program itself, which no other thread can handle"
        }
        32 | 33 => "belongs to the C library",
        1..=64 => return Ok(()),
        _ => {
            return Err(Error::invalid_argument(format!("there is no signal {signum}: use 1 to 64")));
        }
    };
    Err(Error::invalid_argument(format!("{} {why}", name(signum))))
}

/// The name for messages.
fn name(signum: i32) -> String {
    Signal::try_from(signum).map_or_else(|_| format!("signal {signum}"), |signal| signal.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;

    #[test]
    fn what_cannot_be_subscribed_to_is_refused_with_the_reason() {
        for (signum, message) in [
            (0, "there is no signal 0: use 1 to 64"),
            (65, "there is no signal 65: use 1 to 64"),
            (-1, "there is no signal -1: use 1 to 64"),
            (32, "signal 32 belongs to the C library"),
            (libc::SIGKILL, "SIGKILL cannot be caught"),
            (libc::SIGSTOP, "SIGSTOP cannot be caught"),
            (libc::SIGSEGV, "SIGSEGV is a fault of the program itself, which no other thread can handle"),
        ] {
            let error = subscribe(signum, RepeatCallback::new(|_| Ok(()))).unwrap_err();
            assert_eq!((error.code(), error.message()), (ErrorCode::INVALID_ARGUMENT, message));
        }
        assert!(check(libc::SIGCHLD).is_ok() && check(64).is_ok());
    }

    #[test]
    fn a_stranger_s_id_ends_nothing() {
        assert!(!unsubscribe(HandleId(u64::MAX)).unwrap());
    }
}
