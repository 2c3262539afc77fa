//! The one signal handler of the process, and the dispositions around it.
//!
//! The handler marks the signal, writes an eventfd, and calls the handler that was there before. Whatever else is to be
//! done is done by the thread that reads the eventfd.

use std::{
    cell::Cell,
    ffi::c_void,
    io,
    mem::MaybeUninit,
    os::fd::RawFd,
    ptr,
    sync::atomic::{
        AtomicI32, AtomicPtr, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};

use super::{fork_mark, signal_arrival::SignalArrival, signal_set::from_libc};
use crate::process::SignalSet;

/// One for each signal, and one that is not used.
const PLACES: usize = 65;

/// The signals that have arrived and were not taken yet.
static ARRIVED: AtomicU64 = AtomicU64::new(0);
/// For each signal, what is known of its last arrival.
static DETAILS: [AtomicU64; PLACES] = [const { AtomicU64::new(0) }; PLACES];
/// For each signal, the disposition that ours has replaced. Never freed: a handler may be reading it.
static PREVIOUS: [AtomicPtr<libc::sigaction>; PLACES] = [const { AtomicPtr::new(ptr::null_mut()) }; PLACES];
/// What the handler writes to.
static WAKE_FD: AtomicI32 = AtomicI32::new(-1);
/// The process that `WAKE_FD` belongs to: a forked child shares the descriptor, and must not wake the parent.
static WAKE_OWNER: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The signals whose previous handler is running in this thread.
    static CHAINING: Cell<SignalSet> = const { Cell::new(SignalSet::EMPTY) };
}

/// From now on an arrival writes to `fd`, an eventfd that stays open for the life of the process. What arrived before
/// is forgotten: in a forked child it was the parent's.
pub(crate) fn wake_by(fd: RawFd) {
    WAKE_OWNER.store(0, Release);
    ARRIVED.store(0, Release);
    WAKE_FD.store(fd, Release);
    WAKE_OWNER.store(fork_mark::generation(), Release);
}

/// Takes what has arrived.
pub(crate) fn take_arrived() -> impl Iterator<Item = SignalArrival> {
    SignalSet::from_bits(ARRIVED.swap(0, AcqRel))
        .iter()
        .map(|signum| SignalArrival::unpack(signum, DETAILS[signum as usize].load(Relaxed)))
}

/// Takes no notice of a signal that has arrived and was not taken yet.
pub(crate) fn forget(signum: i32) {
    ARRIVED.fetch_and(!SignalSet::EMPTY.with(signum).bits(), AcqRel);
}

/// Puts our handler in place, before the one that is there; false if it was in place already.
pub(crate) fn install(signum: i32) -> io::Result<bool> {
    let current = disposition(signum)?;
    if is_ours(&current) {
        return Ok(false);
    }
    remember(signum, &current);
    let ours = libc::sigaction {
        sa_sigaction: on_signal as *const () as usize,
        // What the previous handler wanted blocked stays blocked while it is called from ours.
        sa_mask: current.sa_mask,
        sa_flags: libc::SA_RESTART | libc::SA_ONSTACK | libc::SA_SIGINFO,
        sa_restorer: None,
    };
    let replaced = replace(signum, &ours)?;
    // Another thread may have changed it since we looked.
    if !is_ours(&replaced) {
        remember(signum, &replaced);
    }
    Ok(true)
}

/// Puts the previous disposition back; false if ours is not in place any more, and then nothing is changed.
pub(crate) fn restore(signum: i32) -> io::Result<bool> {
    if !is_ours(&disposition(signum)?) {
        return Ok(false);
    }
    if let Some(previous) = previous(signum) {
        replace(signum, previous)?;
    }
    Ok(true)
}

fn previous(signum: i32) -> Option<&'static libc::sigaction> {
    // SAFETY: null, or a box that `remember` leaked.
    unsafe { PREVIOUS[signum as usize].load(Acquire).as_ref() }
}

fn remember(signum: i32, disposition: &libc::sigaction) {
    // Nothing new in the usual case, so that subscribing and unsubscribing for ever leaks nothing.
    if !previous(signum).is_some_and(|known| same(known, disposition)) {
        PREVIOUS[signum as usize].store(Box::leak(Box::new(*disposition)), Release);
    }
}

fn is_ours(disposition: &libc::sigaction) -> bool {
    disposition.sa_sigaction == on_signal as *const () as usize
}

fn same(a: &libc::sigaction, b: &libc::sigaction) -> bool {
    /// The C library sets it in whatever passes through it, as in a disposition that was put back.
    const SA_RESTORER: i32 = 0x0400_0000;
    a.sa_sigaction == b.sa_sigaction
        && a.sa_flags & !SA_RESTORER == b.sa_flags & !SA_RESTORER
        && from_libc(&a.sa_mask) == from_libc(&b.sa_mask)
}

/// The disposition of a signal, as text that differs if it does.
#[cfg(feature = "testing")]
pub(crate) fn describe(signum: i32) -> io::Result<String> {
    let disposition = disposition(signum)?;
    let flags = disposition.sa_flags;
    Ok(match disposition.sa_sigaction {
        libc::SIG_DFL => format!("default, flags {flags:#x}"),
        libc::SIG_IGN => format!("ignored, flags {flags:#x}"),
        handler => {
            format!("handler {handler:#x}, flags {flags:#x}, mask {:?}", from_libc(&disposition.sa_mask))
        }
    })
}

fn disposition(signum: i32) -> io::Result<libc::sigaction> {
    sigaction(signum, ptr::null())
}

fn replace(signum: i32, new: &libc::sigaction) -> io::Result<libc::sigaction> {
    sigaction(signum, new)
}

/// Sets the disposition unless `new` is null, and gives the old one.
fn sigaction(signum: i32, new: *const libc::sigaction) -> io::Result<libc::sigaction> {
    let mut old = MaybeUninit::uninit();
    // SAFETY: `new` is null, or one of ours or one that the kernel gave; ours only does what a signal handler may,
    // and whoever installed another one guarantees the same of theirs.
    if unsafe { libc::sigaction(signum, new, old.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has succeeded and so has written the old disposition.
    Ok(unsafe { old.assume_init() })
}

/// Async-signal-safe: atomics, write(2), and what the previous handler does.
extern "C" fn on_signal(signum: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: errno of this thread, which the interrupted code may be about to read.
    let errno = unsafe { *libc::__errno_location() };
    // SAFETY: the kernel gives a valid siginfo to a handler with SA_SIGINFO, and the first pid-sized field of its
    // union may be read whatever the signal is.
    let (code, pid) = unsafe { ((*info).si_code, (*info).si_pid()) };
    DETAILS[signum as usize].store(SignalArrival::new(signum, code, pid.unsigned_abs()).pack(), Relaxed);
    ARRIVED.fetch_or(SignalSet::EMPTY.with(signum).bits(), AcqRel);
    if WAKE_OWNER.load(Acquire) == fork_mark::generation_or_zero() {
        let one = 1_u64;
        // SAFETY: eight bytes to an eventfd, which never blocks; a full counter (EAGAIN) wakes as well.
        unsafe { libc::write(WAKE_FD.load(Acquire), ptr::from_ref(&one).cast(), size_of::<u64>()) };
    }
    chain(signum, info, context);
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// Calls the handler that ours has replaced.
fn chain(signum: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    let Some(previous) = previous(signum) else { return };
    let chaining = CHAINING.get();
    // A handler that was put over ours calls ours in turn; once we are back in front, that would never end.
    if matches!(previous.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN) || chaining.contains(signum) {
        return;
    }
    CHAINING.set(chaining.with(signum));
    let handler = previous.sa_sigaction as *const ();
    if previous.sa_flags & libc::SA_SIGINFO != 0 {
        // SAFETY: not one of the two special values, so whoever installed it guarantees that it is a function of
        // this type, which SA_SIGINFO says.
        let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut c_void) =
            unsafe { std::mem::transmute(handler) };
        handler(signum, info, context);
    } else {
        // SAFETY: as above, without SA_SIGINFO.
        let handler: extern "C" fn(i32) = unsafe { std::mem::transmute(handler) };
        handler(signum);
    }
    CHAINING.set(chaining);
}
