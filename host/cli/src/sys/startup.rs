//! What loophost was started with, recorded before Rust's runtime changes it.
//!
//! The runtime ignores SIGPIPE and opens /dev/null for the standard streams that are closed. `run` gives its child
//! exactly what loophost got, so this is read by a constructor, before `main`.

use std::{
    ptr,
    sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
};

use loophost::process::SignalSet;

static BLOCKED: AtomicU64 = AtomicU64::new(0);
static IGNORED: AtomicU64 = AtomicU64::new(0);
static CLOSED: AtomicU8 = AtomicU8::new(0);

#[used]
#[unsafe(link_section = ".init_array")]
static RECORD: extern "C" fn() = record;

/// The signals that were blocked.
pub(crate) fn blocked_signals() -> SignalSet {
    SignalSet::from_bits(BLOCKED.load(Relaxed))
}

/// The signals that were ignored.
pub(crate) fn ignored_signals() -> SignalSet {
    SignalSet::from_bits(IGNORED.load(Relaxed))
}

/// Whether standard stream 0, 1 or 2 was closed.
pub(crate) fn was_closed(stream: u8) -> bool {
    CLOSED.load(Relaxed) & 1 << stream != 0
}

extern "C" fn record() {
    for signum in 1..=64 {
        if is_blocked(signum) {
            BLOCKED.fetch_or(1 << (signum - 1), Relaxed);
        }
        if is_ignored(signum) {
            IGNORED.fetch_or(1 << (signum - 1), Relaxed);
        }
    }
    for stream in 0..3 {
        // SAFETY: F_GETFD takes no argument and changes nothing.
        if unsafe { libc::fcntl(stream, libc::F_GETFD) } == -1 {
            CLOSED.fetch_or(1 << stream, Relaxed);
        }
    }
}

fn is_blocked(signum: i32) -> bool {
    // SAFETY: an all-zero sigset_t is a valid set, which the call fills; sigismember only reads it.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_SETMASK, ptr::null(), &raw mut set) == 0
            && libc::sigismember(&raw const set, signum) == 1
    }
}

/// Without the C library, which does not tell about its own two signals; its posix_spawn makes its children ignore one
/// of them.
fn is_ignored(signum: i32) -> bool {
    // The kernel's struct, which is no longer than this on any machine and begins with the handler.
    let mut action = [libc::SIG_DFL; 8];
    let nothing = ptr::null::<usize>();
    // SAFETY: nothing is installed, and the kernel writes one struct. The last argument is the size of its signal sets.
    let done = unsafe {
        libc::syscall(libc::SYS_rt_sigaction, signum, nothing, action.as_mut_ptr(), size_of::<u64>())
    };
    done == 0 && action[0] == libc::SIG_IGN
}
