//! posix_spawn(3): where nothing better works. It tells neither which step failed nor the child's pidfd.

use std::{
    ffi::CStr,
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::OnceLock,
};

use nix::{
    sys::signal::{SigSet, SigmaskHow, Signal},
    unistd::{Pid, tcsetpgrp},
};

use super::{Failure, Prepared, Spawned, Step, Stream, pointers};
use crate::sys::signal_set;

pub(super) fn spawn(prepared: &Prepared, path: &CStr) -> Result<Spawned, Failure> {
    if prepared.death_signal.is_some() || prepared.is_other_user() {
        let source = io::Error::from_raw_os_error(libc::EOPNOTSUPP);
        return Err(Failure { step: Step::Unsupported, source });
    }
    let pid = start(prepared, path).map_err(|source| Failure { step: Step::Exec, source })?;
    Ok(Spawned { pid, pidfd: None })
}

fn start(prepared: &Prepared, path: &CStr) -> io::Result<i32> {
    let mut attributes = Attributes::new()?;
    attributes.set(prepared)?;
    let mut actions = FileActions::new()?;
    let child_takes_terminal = actions.add_all(prepared)?;
    let (argv, env) = (pointers(&prepared.argv), pointers(&prepared.env));
    let mut pid = 0;
    // SAFETY: the arrays end with null and point into `prepared`, which outlives the call; both objects are initialised;
    // posix_spawn writes to none of the strings.
    check(unsafe {
        libc::posix_spawn(
            &mut pid,
            path.as_ptr(),
            &actions.0,
            &attributes.0,
            argv.as_ptr().cast(),
            env.as_ptr().cast(),
        )
    })?;
    if let Some(terminal) = &prepared.terminal
        && !child_takes_terminal
    {
        give_terminal(terminal, pid);
    }
    Ok(pid)
}

/// Before glibc 2.35 the parent makes the child's group the foreground one, a moment after the child has started.
fn give_terminal(terminal: &OwnedFd, group: i32) {
    let mut ttou = SigSet::empty();
    ttou.add(Signal::SIGTTOU);
    // In a background group tcsetpgrp would stop this process unless SIGTTOU is blocked.
    let before = ttou.thread_swap_mask(SigmaskHow::SIG_BLOCK);
    if let Err(errno) = tcsetpgrp(terminal.as_fd(), Pid::from_raw(group)) {
        tracing::warn!(pid = group, "the terminal could not be given to the child: {errno}");
    }
    if let Ok(before) = before {
        let _ = before.thread_set_mask();
    }
}

struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn new() -> io::Result<Self> {
        let mut place = MaybeUninit::uninit();
        // SAFETY: init fills the place it is given.
        check(unsafe { libc::posix_spawnattr_init(place.as_mut_ptr()) })?;
        // SAFETY: it is filled.
        Ok(Self(unsafe { place.assume_init() }))
    }

    fn set(&mut self, prepared: &Prepared) -> io::Result<()> {
        let mut flags = libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF;
        let mask = signal_set::to_libc(prepared.signal_mask);
        let defaults = signal_set::to_libc(prepared.default_signals);
        // SAFETY: `self` is initialised, the sets are copied.
        check(unsafe { libc::posix_spawnattr_setsigmask(&mut self.0, &mask) })?;
        // SAFETY: as above.
        check(unsafe { libc::posix_spawnattr_setsigdefault(&mut self.0, &defaults) })?;
        if prepared.new_session {
            flags |= i32::from(libc::POSIX_SPAWN_SETSID);
        } else if let Some(group) = prepared.process_group {
            flags |= libc::POSIX_SPAWN_SETPGROUP;
            // SAFETY: as above.
            check(unsafe { libc::posix_spawnattr_setpgroup(&mut self.0, group) })?;
        }
        // SAFETY: as above; the flags of posix_spawn fit into a short.
        check(unsafe { libc::posix_spawnattr_setflags(&mut self.0, flags as _) })
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, destroyed once.
        unsafe { libc::posix_spawnattr_destroy(&mut self.0) };
    }
}

struct FileActions(libc::posix_spawn_file_actions_t);

impl FileActions {
    fn new() -> io::Result<Self> {
        let mut place = MaybeUninit::uninit();
        // SAFETY: init fills the place it is given.
        check(unsafe { libc::posix_spawn_file_actions_init(place.as_mut_ptr()) })?;
        // SAFETY: it is filled.
        Ok(Self(unsafe { place.assume_init() }))
    }

    /// Terminal and folder come first: what follows may replace the descriptors they are given by. Says whether the
    /// child takes the terminal itself.
    fn add_all(&mut self, prepared: &Prepared) -> io::Result<bool> {
        let mut takes_terminal = false;
        if let Some(terminal) = &prepared.terminal
            && let Some(add) = add_tcsetpgrp()
        {
            // SAFETY: `self` is initialised; the symbol has this signature in glibc and musl.
            check(unsafe { add(&mut self.0, terminal.as_raw_fd()) })?;
            takes_terminal = true;
        }
        if let Some(folder) = &prepared.folder {
            // SAFETY: `self` is initialised; `prepared` keeps the descriptor open.
            check(unsafe { libc::posix_spawn_file_actions_addfchdir_np(&mut self.0, folder.as_raw_fd()) })?;
        }
        for (target, stream) in (0..).zip(&prepared.stdio) {
            match stream {
                Stream::Inherit => {}
                Stream::Closed => {
                    // SAFETY: `self` is initialised.
                    check(unsafe { libc::posix_spawn_file_actions_addclose(&mut self.0, target) })?;
                }
                // SAFETY: as above; `prepared` keeps the descriptor open.
                Stream::Copy(fd) => check(unsafe {
                    libc::posix_spawn_file_actions_adddup2(&mut self.0, fd.as_raw_fd(), target)
                })?,
            }
        }
        Ok(takes_terminal)
    }
}

impl Drop for FileActions {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, destroyed once.
        unsafe { libc::posix_spawn_file_actions_destroy(&mut self.0) };
    }
}

type AddTcsetpgrp = unsafe extern "C" fn(*mut libc::posix_spawn_file_actions_t, i32) -> i32;

/// `posix_spawn_file_actions_addtcsetpgrp_np`, where libc has it (glibc 2.35).
fn add_tcsetpgrp() -> Option<AddTcsetpgrp> {
    static FOUND: OnceLock<Option<AddTcsetpgrp>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let name = c"posix_spawn_file_actions_addtcsetpgrp_np";
        // SAFETY: the name is a C string.
        let symbol = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
        // SAFETY: a function of libc with that name has that signature; null becomes `None`.
        unsafe { std::mem::transmute::<*mut libc::c_void, Option<AddTcsetpgrp>>(symbol) }
    })
}

/// These functions return the error's number and leave `errno` alone.
fn check(errno: i32) -> io::Result<()> {
    if errno == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(errno)) }
}
