//! System calls as the kernel has them: without errno, cancellation and whatever else libc adds, all of which belongs to
//! the parent while the child is in its memory.

use std::{arch::asm, ffi::c_long};

/// Calls the kernel; the error is its number.
///
/// # Safety
/// That of the system call.
pub(super) unsafe fn call<const N: usize>(number: c_long, arguments: [usize; N]) -> Result<usize, i32> {
    const { assert!(N <= 5) };
    let argument = |n| arguments.get(n).copied().unwrap_or(0);
    let returned: isize;
    // SAFETY: the kernel changes the registers named here, and the memory that its call says, for which the caller
    // answers.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => returned,
            in("rdi") argument(0),
            in("rsi") argument(1),
            in("rdx") argument(2),
            in("r10") argument(3),
            in("r8") argument(4),
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!(
            "svc #0",
            in("x8") number,
            inlateout("x0") argument(0) => returned,
            in("x1") argument(1),
            in("x2") argument(2),
            in("x3") argument(3),
            in("x4") argument(4),
            options(nostack),
        );
    }
    outcome(returned)
}

/// What the kernel's return value means.
pub(super) fn outcome(returned: isize) -> Result<usize, i32> {
    match returned {
        -4095..=-1 => Err(returned.wrapping_neg() as i32),
        _ => Ok(returned as usize),
    }
}
