//! Handles of plugins in C: pointers to the host's own. One that is lent points to where the host has it, one that is
//! owned to an allocation.

use std::{
    ffi::{c_int, c_void},
    ptr,
};

use loophost_plugin_api::{LoopHandle, PolicyHandle, WatcherHandle};

use super::{
    abi::{CError, LoopTable, PolicyTable, WatcherTable},
    child_watcher::CChildWatcher,
    event_loop::CLoop,
    policy::CPolicy,
    result::{answer, copy_table, guarded, missing},
};

/// Lends a handle for the time of a call.
pub(super) fn lend<H>(handle: &H) -> *mut H {
    ptr::from_ref(handle).cast_mut()
}

/// A handle for the plugin to keep.
pub(super) fn give<H>(handle: H) -> *mut H {
    Box::into_raw(Box::new(handle))
}

/// Ends a handle that a plugin has kept.
///
/// # Safety
/// It is null, or came from [`give`] and is not used any more.
pub(super) unsafe fn free<H>(handle: *mut H) {
    if !handle.is_null() {
        // SAFETY: the caller's guarantee, and it is not null.
        guarded((), || drop(unsafe { Box::from_raw(handle) }));
    }
}

/// What an object has for handles: make, clone, free and compare.
macro_rules! functions_of {
    ($handle:ident, $table:ident, $object:ident: $make:ident, $clone:ident, $free:ident, $same:ident) => {
        pub(super) unsafe extern "C" fn $make(
            table: *const $table,
            data: *mut c_void,
            base: *mut $handle,
            out: *mut *mut $handle,
            error: *mut CError,
        ) -> c_int {
            // SAFETY: `loophost.h` has the plugin pass a table, a handle or NULL, and places for result and error.
            unsafe {
                answer(error, || {
                    if out.is_null() {
                        return Err(missing("the place for the result"));
                    }
                    let object = $object::new(copy_table(table)?, data, base.as_ref().cloned())?;
                    out.write(give($handle::new(object)));
                    Ok(())
                })
            }
        }

        pub(super) unsafe extern "C" fn $clone(handle: *mut $handle) -> *mut $handle {
            // SAFETY: `loophost.h` has the plugin pass a handle of this kind.
            let handle = unsafe { handle.as_ref() };
            guarded(ptr::null_mut(), || handle.map_or(ptr::null_mut(), |handle| give(handle.clone())))
        }

        pub(super) unsafe extern "C" fn $free(handle: *mut $handle) {
            // SAFETY: `loophost.h` has the plugin pass a handle of its own, for the last time.
            unsafe { free(handle) }
        }

        pub(super) unsafe extern "C" fn $same(one: *mut $handle, other: *mut $handle) -> c_int {
            // SAFETY: `loophost.h` has the plugin pass handles of this kind.
            match unsafe { (one.as_ref(), other.as_ref()) } {
                (Some(one), Some(other)) => one.same(other).into(),
                (one, other) => (one.is_none() && other.is_none()).into(),
            }
        }
    };
}

functions_of!(LoopHandle, LoopTable, CLoop: make_loop, clone_loop, free_loop, same_loop);
functions_of!(WatcherHandle, WatcherTable, CChildWatcher: make_watcher, clone_watcher, free_watcher, same_watcher);
functions_of!(PolicyHandle, PolicyTable, CPolicy: make_policy, clone_policy, free_policy, same_policy);
