//! Structs that begin with their size. A later minor adds fields at their end, so the other side's may be longer or
//! shorter than ours: they are copied as far as both go.

use std::{mem::MaybeUninit, ptr};

/// A struct that begins with its size and may grow.
///
/// # Safety
/// It is `repr(C)`, has no padding at its end, and begins with its own size in bytes, a `u32`. [`SMALLEST`](Self::SMALLEST)
/// is what it was in ABI 1.0, and never changes.
pub unsafe trait Growing: Copy {
    /// The bytes that each has, whoever made it: those of ABI 1.0.
    const SMALLEST: usize;
    /// What the fields are that a shorter one lacks.
    const EMPTY: Self;
}

/// Copies what the other side lends; what it lacks is as in [`Growing::EMPTY`]. `None` if there is none, or one that is too
/// short.
///
/// # Safety
/// `place` is null, or its first word counts the bytes that may be read there, and they are those of a `T` of some minor.
pub unsafe fn read<T: Growing>(place: *const T) -> Option<T> {
    // SAFETY: the caller's guarantee.
    let common = unsafe { common(place) }?;
    let mut copy = MaybeUninit::new(T::EMPTY);
    // SAFETY: both have as many bytes, which begin a `T`; the size stays that of what is here.
    unsafe {
        ptr::copy_nonoverlapping(place.cast::<u8>(), copy.as_mut_ptr().cast(), common);
        copy.as_mut_ptr().cast::<u32>().write(size_of::<T>() as u32);
        Some(copy.assume_init())
    }
}

/// Copies a value to where the other side wants it, whose size stays as it is; whether there is such a place.
///
/// # Safety
/// `place` is null, or its first word counts the bytes that may be written there.
pub unsafe fn write<T: Growing>(place: *mut T, value: &T) -> bool {
    // SAFETY: the caller's guarantee.
    let Some(common) = (unsafe { common(place) }) else { return false };
    let from = ptr::from_ref(value).cast::<u8>();
    // SAFETY: both have as many bytes, and the size is the first of them.
    unsafe { ptr::copy_nonoverlapping(from.add(4), place.cast::<u8>().add(4), common - 4) };
    true
}

/// How many bytes the other side's has in common with ours.
///
/// # Safety
/// As for [`read`].
unsafe fn common<T: Growing>(place: *const T) -> Option<usize> {
    // SAFETY: the caller's guarantee: the size comes first.
    let size = *unsafe { place.cast::<u32>().as_ref() }? as usize;
    (size >= T::SMALLEST).then_some(size.min(size_of::<T>()))
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;
    use crate::{ChildExit, ExceptionContext, log::LogRecord};

    /// What 1.0 had, and what a later minor could have made of it.
    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Figures {
        size: u32,
        old: u32,
        new: u64,
    }

    // SAFETY: it is as the trait wants it.
    unsafe impl Growing for Figures {
        const SMALLEST: usize = offset_of!(Self, new);
        const EMPTY: Self = Self { size: 16, old: 0, new: 99 };
    }

    #[test]
    fn what_a_shorter_one_lacks_is_empty() {
        let (short, long) = ([8, 5, 7, 7], [24, 5, 6, 0, 7, 7]);
        // SAFETY: the first of them count the bytes that are meant to be there.
        let (short, long): (Option<Figures>, Option<Figures>) =
            unsafe { (read(short.as_ptr().cast()), read(long.as_ptr().cast())) };
        assert_eq!(short, Some(Figures { size: 16, old: 5, new: 99 }));
        assert_eq!(long, Some(Figures { size: 16, old: 5, new: 6 }));
    }

    #[test]
    fn nothing_is_written_past_a_shorter_one() {
        let value = Figures { size: 16, old: 5, new: 6 };
        let mut short = [8, 0, 7, 7];
        // SAFETY: the first counts the bytes that are meant to be there.
        assert!(unsafe { write(short.as_mut_ptr().cast(), &value) });
        assert_eq!(short, [8, 5, 7, 7]);
    }

    #[test]
    fn one_that_is_too_short_or_not_there_is_none() {
        let mut short = [7, 0, 7, 7];
        let value = Figures { size: 16, old: 5, new: 6 };
        // SAFETY: as above, and null.
        unsafe {
            assert!(
                read::<Figures>(short.as_ptr().cast()).is_none() && read::<Figures>(ptr::null()).is_none()
            );
            assert!(!write(short.as_mut_ptr().cast(), &value) && !write(ptr::null_mut(), &value));
        }
        assert_eq!(short, [7, 0, 7, 7]);
    }

    /// Frozen: whoever was built for 1.0 has these.
    #[cfg(target_pointer_width = "64")]
    #[test]
    fn the_smallest_are_those_of_1_0() {
        assert_eq!(ChildExit::SMALLEST, 32);
        assert_eq!(ExceptionContext::SMALLEST, 48);
        assert_eq!(LogRecord::SMALLEST, 80);
    }
}
