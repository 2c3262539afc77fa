//! Sets of signals as the C library has them, and the mask of the calling thread.

use std::{io, mem::MaybeUninit, ptr};

use crate::process::SignalSet;

/// The set, bit for bit. sigaddset(3) refuses glibc's own two signals, but a child that was started with them ignored
/// should not stay so.
pub(crate) fn to_libc(set: SignalSet) -> libc::sigset_t {
    const { assert!(size_of::<libc::sigset_t>() >= size_of::<u64>() && cfg!(target_endian = "little")) };
    let mut place = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: a set is an array of bits, the first 64 of which are the signals 1 to 64; zeroes are an empty one.
    unsafe {
        place.as_mut_ptr().cast::<u64>().write_unaligned(set.bits());
        place.assume_init()
    }
}

/// The set, bit for bit.
pub(crate) fn from_libc(set: &libc::sigset_t) -> SignalSet {
    // SAFETY: as in `to_libc`: the first 64 bits of the array.
    SignalSet::from_bits(unsafe { ptr::from_ref(set).cast::<u64>().read_unaligned() })
}

/// Blocks the signals in this thread, and so in all threads that it makes from now on.
pub(crate) fn block(set: SignalSet) -> io::Result<()> {
    change_mask(libc::SIG_BLOCK, &to_libc(set)).map(drop)
}

/// Runs `f` with all signals blocked in this thread. A thread that `f` makes starts, and stays, with them blocked.
pub(crate) fn with_all_blocked<R>(f: impl FnOnce() -> R) -> io::Result<R> {
    /// Puts the mask back, also after a panic.
    struct Restore(libc::sigset_t);
    impl Drop for Restore {
        fn drop(&mut self) {
            // It cannot fail: the mask came from the kernel.
            let _ = change_mask(libc::SIG_SETMASK, &self.0);
        }
    }
    let _restore = Restore(change_mask(libc::SIG_SETMASK, &to_libc(SignalSet::ALL))?);
    Ok(f())
}

/// What is blocked in this thread.
#[cfg(feature = "testing")]
pub(crate) fn blocked() -> io::Result<SignalSet> {
    change_mask(libc::SIG_BLOCK, &to_libc(SignalSet::EMPTY)).map(|old| from_libc(&old))
}

/// A signal that is blocked in this thread until this is dropped, in the same thread.
#[cfg(feature = "testing")]
pub(crate) struct BlockedSignal(libc::sigset_t);

#[cfg(feature = "testing")]
impl BlockedSignal {
    pub(crate) fn new(signum: i32) -> io::Result<Self> {
        change_mask(libc::SIG_BLOCK, &to_libc(SignalSet::EMPTY.with(signum))).map(Self)
    }
}

#[cfg(feature = "testing")]
impl Drop for BlockedSignal {
    fn drop(&mut self) {
        // It cannot fail: the mask came from the kernel.
        let _ = change_mask(libc::SIG_SETMASK, &self.0);
    }
}

/// Changes the mask of this thread and gives the old one.
fn change_mask(how: i32, set: &libc::sigset_t) -> io::Result<libc::sigset_t> {
    let mut old = MaybeUninit::uninit();
    // SAFETY: both sets are valid for the call.
    match unsafe { libc::pthread_sigmask(how, ptr::from_ref(set), old.as_mut_ptr()) } {
        // SAFETY: the call has succeeded and so has written the old mask.
        0 => Ok(unsafe { old.assume_init() }),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_means_the_same_to_the_c_library() {
        let set = SignalSet::EMPTY.with(libc::SIGHUP).with(libc::SIGTERM).with(64);
        let theirs = to_libc(set);
        // SAFETY: a valid set.
        let members = (1..=64).filter(|signum| unsafe { libc::sigismember(&theirs, *signum) } == 1);
        assert_eq!(members.collect::<SignalSet>(), set);
        assert_eq!(from_libc(&theirs), set);
    }

    #[test]
    fn the_mask_is_put_back_after_a_panic() {
        let mask = || from_libc(&change_mask(libc::SIG_BLOCK, &to_libc(SignalSet::EMPTY)).unwrap());
        let before = mask();
        let unwound = std::panic::catch_unwind(|| {
            with_all_blocked(|| {
                assert!(mask().contains(libc::SIGTERM));
                panic!("inside")
            })
        });
        assert!(unwound.is_err());
        assert_eq!(mask(), before);
    }
}
