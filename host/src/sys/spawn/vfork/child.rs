//! What runs between clone and exec.
//!
//! It runs in the memory of the parent, whose other threads go on, and with the thread-local variables of the thread
//! that waits for it. So: raw system calls only, no allocation, no lock, no panic, no unwinding, and it writes to its
//! own stack and its [`Job`] only.

use std::{
    arch::naked_asm,
    ffi::{c_char, c_int, c_long, c_void},
    os::fd::AsRawFd,
    ptr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use super::{
    super::{Prepared, Step, Stream},
    blocked::set_mask,
    raw,
    report::Report,
};

/// The arguments of execve(2), in its order.
#[repr(C)]
pub(super) struct Program {
    pub(super) path: *const c_char,
    /// Arrays that end with null.
    pub(super) argv: *const *const c_char,
    pub(super) env: *const *const c_char,
}

/// What a child is to do.
pub(super) struct Job<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) program: Program,
    /// The pid of whoever spawns.
    pub(super) parent: u32,
    /// Whether the kernel has reset the handlers.
    pub(super) has_no_handlers: bool,
    /// Not 0 in the parent, and 0 in a copy of its memory; `None` for a child that is to have a copy.
    pub(super) shares_memory: Option<&'a AtomicU64>,
    /// Set by a child that really shares the parent's memory.
    pub(super) started: AtomicBool,
    pub(super) report: &'a Report,
}

/// A step and its error number.
type Failed = (Step, i32);

/// The child's first and last function; `job` is a [`Job`].
///
/// The exec is done here, when all Rust code has returned: a function that never comes back would leave its mark on the
/// stack, which the next child uses, and AddressSanitizer takes that for a stray access. The status is for nobody.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
pub(super) extern "C" fn run(job: *mut c_void) -> c_int {
    naked_asm!(
        "push rbx",
        "mov rbx, rdi",
        "call {set_up}",
        "test rax, rax",
        "jz 2f",
        "mov rdi, [rax]",
        "mov rsi, [rax + 8]",
        "mov rdx, [rax + 16]",
        "mov eax, {execve}",
        "syscall",
        "mov rdi, rbx",
        "mov rsi, rax",
        "call {exec_failed}",
        "2:",
        "mov edi, 127",
        "mov eax, {exit_group}",
        "syscall",
        "ud2",
        set_up = sym set_up,
        exec_failed = sym exec_failed,
        execve = const libc::SYS_execve,
        exit_group = const libc::SYS_exit_group,
    )
}

/// As above.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
pub(super) extern "C" fn run(job: *mut c_void) -> c_int {
    naked_asm!(
        "mov x19, x0",
        "bl {set_up}",
        "cbz x0, 2f",
        "ldp x9, x1, [x0]",
        "ldr x2, [x0, #16]",
        "mov x0, x9",
        "mov x8, #{execve}",
        "svc #0",
        "mov x1, x0",
        "mov x0, x19",
        "bl {exec_failed}",
        "2:",
        "mov x0, #127",
        "mov x8, #{exit_group}",
        "svc #0",
        "brk #1",
        set_up = sym set_up,
        exec_failed = sym exec_failed,
        execve = const libc::SYS_execve,
        exit_group = const libc::SYS_exit_group,
    )
}

/// Does all but the exec, and gives what is to be executed; null if there is nothing left to do.
///
/// # Safety
/// `job` is valid, and its parent waits until this process has executed or ended, so that all it borrows lives.
unsafe extern "C" fn set_up(job: *const Job<'_>) -> *const Program {
    // SAFETY: the caller's, see above; in a copied memory there is nobody else to touch it.
    let job = unsafe { &*job };
    // Emulators make a copy and let the parent go on, which would wait for nothing. Nothing has been done yet.
    if job.shares_memory.is_some_and(|generation| generation.load(Relaxed) == 0) {
        return ptr::null();
    }
    job.started.store(true, Relaxed);
    match take_steps(job) {
        Ok(()) => &job.program,
        Err((step, errno)) => {
            job.report.fail(step, errno);
            ptr::null()
        }
    }
}

/// # Safety
/// As for [`set_up`].
unsafe extern "C" fn exec_failed(job: *const Job<'_>, returned: isize) {
    // SAFETY: the caller's.
    let job = unsafe { &*job };
    job.report.fail(Step::Exec, returned.wrapping_neg() as i32);
}

fn take_steps(job: &Job<'_>) -> Result<(), Failed> {
    let prepared = job.prepared;
    // First, while all signals are blocked: no handler of the parent may run in its memory.
    reset_signals(job).map_err(at(Step::Signals))?;
    if prepared.new_session {
        call(libc::SYS_setsid, []).map_err(at(Step::Session))?;
    } else if let Some(group) = prepared.process_group {
        call(libc::SYS_setpgid, [0, group as usize]).map_err(at(Step::ProcessGroup))?;
    }
    take_terminal(prepared).map_err(at(Step::Terminal))?;
    become_user(prepared)?;
    // After the user: the kernel forgets the death signal with every change of rights.
    tie_to_parent(job).map_err(at(Step::DeathSignal))?;
    // As the user who will be there.
    if let Some(folder) = &prepared.folder {
        call(libc::SYS_fchdir, [folder.as_raw_fd() as usize]).map_err(at(Step::Folder))?;
    }
    set_streams(prepared).map_err(at(Step::Streams))?;
    set_mask(prepared.signal_mask.bits());
    Ok(())
}

/// `struct sigaction` of the kernel, which is not libc's.
#[repr(C)]
struct Disposition {
    handler: usize,
    flags: usize,
    restorer: usize,
    mask: u64,
}

fn reset_signals(job: &Job<'_>) -> Result<(), i32> {
    const UNCHANGEABLE: [c_int; 2] = [libc::SIGKILL, libc::SIGSTOP];
    static DEFAULT: Disposition = Disposition { handler: libc::SIG_DFL, flags: 0, restorer: 0, mask: 0 };
    for signum in 1..=64 {
        if UNCHANGEABLE.contains(&signum) {
            continue;
        }
        // Asking first which of them are ignored would be a call more, and no call less.
        let reset =
            job.prepared.default_signals.contains(signum) || !job.has_no_handlers && has_handler(signum)?;
        if reset {
            let default = &raw const DEFAULT as usize;
            call(libc::SYS_rt_sigaction, [signum as usize, default, 0, size_of::<u64>()])?;
        }
    }
    Ok(())
}

fn has_handler(signum: c_int) -> Result<bool, i32> {
    let mut current = Disposition { handler: 0, flags: 0, restorer: 0, mask: 0 };
    let place = &raw mut current as usize;
    call(libc::SYS_rt_sigaction, [signum as usize, 0, place, size_of::<u64>()])?;
    // SAFETY: the place of a local, which the kernel has just filled.
    let handler = unsafe { ptr::read_volatile(&raw const current.handler) };
    Ok(!matches!(handler, libc::SIG_DFL | libc::SIG_IGN))
}

/// SIGTTOU is blocked, so this does not stop a child that is not in the foreground.
fn take_terminal(prepared: &Prepared) -> Result<(), i32> {
    let Some(terminal) = &prepared.terminal else { return Ok(()) };
    let group = call(libc::SYS_getpgid, [0])? as i32;
    let request = libc::TIOCSPGRP as usize;
    call(libc::SYS_ioctl, [terminal.as_raw_fd() as usize, request, &raw const group as usize]).map(drop)
}

/// The user comes last, for it takes away the right to do the rest. All three ids of each kind, so that there is no way
/// back.
fn become_user(prepared: &Prepared) -> Result<(), Failed> {
    if let Some(groups) = &prepared.groups {
        call(libc::SYS_setgroups, [groups.len(), groups.as_ptr() as usize]).map_err(at(Step::Groups))?;
    }
    if let Some(gid) = prepared.gid {
        call(libc::SYS_setresgid, [gid as usize; 3]).map_err(at(Step::Group))?;
    }
    if let Some(uid) = prepared.uid {
        call(libc::SYS_setresuid, [uid as usize; 3]).map_err(at(Step::User))?;
    }
    Ok(())
}

fn tie_to_parent(job: &Job<'_>) -> Result<(), i32> {
    let Some(signum) = job.prepared.death_signal else { return Ok(()) };
    call(libc::SYS_prctl, [libc::PR_SET_PDEATHSIG as usize, signum as usize, 0, 0, 0])?;
    // It may have died just before, and then the signal never comes. 0 is a parent outside of our pid namespace.
    match call(libc::SYS_getppid, [])? {
        0 => Ok(()),
        parent if parent == job.parent as usize => Ok(()),
        _ => Err(libc::ESRCH),
    }
}

fn set_streams(prepared: &Prepared) -> Result<(), i32> {
    for (target, stream) in (0..).zip(&prepared.stdio) {
        match stream {
            Stream::Inherit => {}
            // It may be closed already.
            Stream::Closed => _ = call(libc::SYS_close, [target]),
            Stream::Copy(fd) => {
                let source = fd.as_raw_fd() as usize;
                if source == target {
                    // dup3 refuses that, dup2 does not clear close-on-exec then.
                    call(libc::SYS_fcntl, [source, libc::F_SETFD as usize, 0])?;
                } else {
                    call(libc::SYS_dup3, [source, target, 0])?;
                }
            }
        }
    }
    Ok(())
}

fn call<const N: usize>(number: c_long, arguments: [usize; N]) -> Result<usize, i32> {
    // SAFETY: the callers above pass integers, and pointers to memory of the right layout: locals, a static, and what the
    // job borrows. What the calls change is this process's own: the memory that it shares is not among it.
    unsafe { raw::call(number, arguments) }
}

fn at(step: Step) -> impl Fn(i32) -> Failed {
    move |errno| (step, errno)
}
