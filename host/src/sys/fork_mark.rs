//! How a process notices that it is a forked child: a page that the kernel wipes on fork(2).
//!
//! A pid is no answer, for asking for it costs a system call each time; a word of memory costs nothing.

use std::{
    io, ptr,
    sync::{
        OnceLock,
        atomic::{
            AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
};

use loophost_plugin_api::__private::ForkMark;

/// What lies in the page: the number of this process, 0 until it has asked for one.
type Mark = AtomicU64;

/// The number as plugins look at it: 0 in a forked child that has not asked for its own yet.
pub(crate) fn for_plugins() -> ForkMark {
    generation();
    // SAFETY: the mark is valid for the life of the process, and all access but the kernel's is atomic.
    unsafe { ForkMark::new(mark().as_ptr().cast_const()) }
}

/// A number that differs between this process and all that it descends from by fork(2); never 0.
#[inline]
pub(crate) fn generation() -> u64 {
    let mark = mark();
    match mark.load(Relaxed) {
        0 => number(mark),
        generation => generation,
    }
}

/// As [`generation`] for use in a signal handler: 0 in a forked child that has not asked for its number yet.
pub(crate) fn generation_or_zero() -> u64 {
    MARK.get().map_or(0, |mark| mark.load(Relaxed))
}

/// Where [`generation`] is kept, if the kernel itself wipes it: in a process that was made without any handler of fork(3)
/// it reads 0 too, unless that process shares our memory.
pub(crate) fn wiped_generation() -> Option<&'static AtomicU64> {
    generation();
    let mark = mark();
    (!ptr::eq(mark, &CLEARED)).then_some(mark)
}

static MARK: OnceLock<&'static Mark> = OnceLock::new();

/// Stands in for a page that the kernel wipes.
static CLEARED: Mark = Mark::new(0);

#[inline]
fn mark() -> &'static Mark {
    MARK.get_or_init(|| wiped_page().unwrap_or_else(|_| cleared_by_handler()))
}

#[cold]
fn number(mark: &Mark) -> u64 {
    // A child has a copy of this counter, so what it takes is above everything its parent had taken.
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let fresh = NEXT.fetch_add(1, Relaxed);
    match mark.compare_exchange(0, fresh, SeqCst, SeqCst) {
        Ok(_) => fresh,
        Err(other_thread_s) => other_thread_s,
    }
}

/// A page with `MADV_WIPEONFORK` (Linux 4.14).
fn wiped_page() -> io::Result<&'static Mark> {
    let size = size_of::<Mark>();
    // SAFETY: a fresh private mapping, of which nobody else knows.
    let page = unsafe {
        libc::mmap(
            ptr::null_mut(),
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if page == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping made above, whole.
    if unsafe { libc::madvise(page, size, libc::MADV_WIPEONFORK) } != 0 {
        let error = io::Error::last_os_error();
        // SAFETY: as above; nothing points into it yet.
        unsafe { libc::munmap(page, size) };
        return Err(error);
    }
    // SAFETY: the kernel gave zeroed memory, aligned to a page, which is a valid `Mark`; it is never unmapped, and
    // all access is atomic.
    Ok(unsafe { &*page.cast::<Mark>() })
}

/// For older kernels: a static that a child clears as the first thing after fork(3). A child made by the bare
/// system call is not noticed then.
fn cleared_by_handler() -> &'static Mark {
    extern "C" fn clear() {
        CLEARED.store(0, SeqCst);
    }
    // SAFETY: `clear` is a function of this program, which is never unloaded, and only stores to atomics. A failure
    // (ENOMEM) leaves a mark that never changes: what there was before.
    unsafe { libc::pthread_atfork(None, None, Some(clear)) };
    &CLEARED
}

#[cfg(test)]
mod tests {
    use nix::{
        sys::wait::{WaitStatus, waitpid},
        unistd::{ForkResult, fork},
    };

    use super::*;

    /// Runs `f` in a forked child; its status says whether it was true.
    fn true_in_a_child(f: impl FnOnce() -> bool) -> bool {
        // SAFETY: the child reads and writes atomics and leaves by `_exit`.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                let status = i32::from(!f());
                // SAFETY: ends the child without running anything of the parent's.
                unsafe { libc::_exit(status) }
            }
            ForkResult::Parent { child } => {
                matches!(waitpid(child, None).unwrap(), WaitStatus::Exited(_, 0))
            }
        }
    }

    #[test]
    fn a_child_finds_the_page_wiped_and_takes_another_number() {
        let here = generation();
        assert_eq!(generation_or_zero(), here);
        assert!(true_in_a_child(|| generation_or_zero() == 0 && generation() > here));
        assert_eq!((generation_or_zero(), generation()), (here, here));
    }

    #[test]
    fn a_child_of_a_child_takes_another_number_again() {
        let here = generation();
        assert!(true_in_a_child(|| {
            let child_s = generation();
            child_s > here && true_in_a_child(|| generation_or_zero() == 0 && generation() > child_s)
        }));
    }

    #[test]
    fn without_the_page_a_handler_clears_the_mark() {
        let mark = cleared_by_handler();
        let here = number(mark);
        assert!(true_in_a_child(|| mark.load(SeqCst) == 0 && number(mark) > here));
        assert_eq!(mark.load(SeqCst), here);
    }
}
