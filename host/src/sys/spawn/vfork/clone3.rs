//! clone3(2), which has no wrapper in libc because the child comes back on another stack.

use std::{
    arch::asm,
    ffi::{c_int, c_void},
};

use super::raw;

/// `CLONE_CLEAR_SIGHAND` of linux/sched.h: signals with a handler get the default action, ignored ones stay ignored.
pub(super) const CLEAR_SIGHAND: u64 = 1 << 32;

/// `struct clone_args` in its first size, which every kernel with this call accepts.
#[repr(C)]
#[derive(Default)]
pub(super) struct Arguments {
    pub(super) flags: u64,
    /// Where the pidfd's number goes.
    pub(super) pidfd: u64,
    pub(super) child_tid: u64,
    pub(super) parent_tid: u64,
    pub(super) exit_signal: u64,
    /// The lowest address of the child's stack.
    pub(super) stack: u64,
    pub(super) stack_size: u64,
    pub(super) tls: u64,
}

/// Makes a child that runs `child(argument)` on the stack in `arguments`, and gives its pid.
///
/// # Safety
/// The arguments are valid for the kernel, with a stack that nobody uses and whose end is aligned to 16 bytes; `child`
/// never returns, and does nothing that the memory it shares or copies does not allow.
pub(super) unsafe fn clone3(
    arguments: &Arguments,
    child: extern "C" fn(*mut c_void) -> c_int,
    argument: *mut c_void,
) -> Result<i32, i32> {
    let returned: isize;
    // SAFETY: the parent sees a system call like any other: the kernel preserves all registers but those named. The
    // child has the same registers and another stack; it never leaves this block, so what it does to them is nobody's
    // business. It zeroes the frame pointer for those who walk the stack.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r9",
            "call r8",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 as isize => returned,
            in("rdi") arguments,
            in("rsi") size_of::<Arguments>(),
            in("r8") child,
            in("r9") argument,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!(
            "svc #0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x3",
            "blr x2",
            "brk #1",
            "2:",
            in("x8") libc::SYS_clone3,
            inlateout("x0") arguments => returned,
            in("x1") size_of::<Arguments>(),
            in("x2") child,
            in("x3") argument,
        );
    }
    raw::outcome(returned).map(|pid| pid as i32)
}
