//! The table of functions that the host hands to a plugin. Their order is the ABI.

use std::{
    ffi::c_void,
    marker::PhantomData,
    ptr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use abi_stable::{
    StableAbi,
    std_types::{ROption, RStr},
};

use crate::{
    AbiResult, ChildExit, HandleId, LoopHandle, PolicyHandle, RepeatCallback, WatcherHandle, growing,
    key_value::KeyValues, log::LentRecord,
};

pub(super) const REAPED: u32 = 0;
pub(super) const STILL_ALIVE: u32 = 1;
pub(super) const NOT_OURS: u32 = 2;
pub(super) const LOST: u32 = 3;
pub(super) const RECOVERED: u32 = 4;

/// The host's functions. All of them: any thread, unless noted. Later fields are optional.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostServices_Ref)))]
pub struct HostServices {
    /// The minor of the ABI that the host was built for.
    pub abi_minor: u32,
    /// Where the number of the process is, so that it costs no call; 0 there: it is to be asked for.
    pub fork_mark: ForkMark,
    /// The number of the process, never 0: another one than that of everything it descends from by fork(2).
    pub process_number: extern "C" fn() -> u64,
    /// Whether a record of this level (1 error to 5 trace) and target would be written.
    pub log_enabled: extern "C" fn(u32, RStr<'_>) -> bool,
    /// Writes a record.
    pub log: extern "C" fn(LentRecord<'_>),
    /// Announces the running loop of this thread; the loop's thread.
    pub enter_running: extern "C" fn(&LoopHandle) -> AbiResult<u64>,
    /// Ends what the token is for; the loop's thread.
    pub leave_running: extern "C" fn(u64) -> AbiResult<()>,
    /// The running loop of this thread.
    pub current_loop: extern "C" fn() -> ROption<LoopHandle>,
    /// The policy of the process.
    pub get_event_loop_policy: extern "C" fn() -> AbiResult<PolicyHandle>,
    /// Replaces the policy of the process.
    pub set_event_loop_policy: extern "C" fn(ROption<PolicyHandle>) -> AbiResult<()>,
    /// Makes a built-in loop.
    pub new_loop: extern "C" fn(RStr<'_>, KeyValues) -> AbiResult<LoopHandle>,
    /// Makes a built-in watcher.
    pub new_watcher: extern "C" fn(RStr<'_>, KeyValues) -> AbiResult<WatcherHandle>,
    /// Subscribes to a signal; the callback comes on the service thread.
    pub signal_subscribe: extern "C" fn(i32, RepeatCallback) -> AbiResult<HandleId>,
    /// Ends a subscription.
    pub signal_unsubscribe: extern "C" fn(HandleId) -> AbiResult<bool>,
    /// Takes a child's status: one of the codes of this module.
    pub reap: extern "C" fn(i64, ExitPlace<'_>) -> AbiResult<u32>,
    /// An extension's table, or null: see [`ExtensionHead`](crate::ExtensionHead). It has no object.
    #[sabi(last_prefix_field)]
    pub extension: extern "C" fn(RStr<'_>) -> *const c_void,
}

/// The address of the process's number, in a page that the kernel wipes in a forked child: 0 until that has asked for
/// its own.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy)]
pub struct ForkMark(*const u64);

// SAFETY: an address; `ForkMark::new` has its caller guarantee that what lies there may be read by any thread.
unsafe impl Send for ForkMark {}
// SAFETY: as above.
unsafe impl Sync for ForkMark {}

impl ForkMark {
    /// # Safety
    /// `number` is aligned and valid for the life of the process, and only accessed atomically but by the kernel.
    pub const unsafe fn new(number: *const u64) -> Self {
        Self(number)
    }

    #[inline]
    pub(super) fn number(self) -> u64 {
        // SAFETY: see `new`; it is only read.
        unsafe { AtomicU64::from_ptr(self.0.cast_mut()) }.load(Relaxed)
    }
}

/// Where a plugin wants the exit of a child, whose own may be longer or shorter than the host's.
#[repr(transparent)]
#[derive(StableAbi)]
pub struct ExitPlace<'a>(*mut c_void, PhantomData<&'a ()>);

impl<'a> ExitPlace<'a> {
    /// Lends the place.
    pub fn new(place: &'a mut ChildExit) -> Self {
        Self(ptr::from_mut(place).cast(), PhantomData)
    }

    /// Puts it there, as far as it is known to both.
    pub fn put(self, exit: &ChildExit) {
        // SAFETY: `new` got it from a place, here or in another file, that is lent for 'a.
        unsafe { growing::write(self.0.cast(), exit) };
    }
}
