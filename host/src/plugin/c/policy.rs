//! A policy of a plugin in C, as everybody's [`Policy`]; and everybody's policy for plugins in C.

use std::{
    ffi::{c_char, c_int, c_void},
    ptr,
};

use loophost_plugin_api::{__private::Growing, Error, LoopHandle, Policy, PolicyHandle, WatcherHandle};

use super::{
    abi::{CError, PolicyTable, Table},
    convert::delegate,
    handles,
    result::{answer, ask, guarded, lent, put, receive, require},
    text,
};

pub(super) struct CPolicy {
    table: PolicyTable,
    data: *mut c_void,
    base: Option<PolicyHandle>,
}

// SAFETY: `loophost.h` has a plugin expect these functions on any thread.
unsafe impl Send for CPolicy {}
// SAFETY: as above.
unsafe impl Sync for CPolicy {}

impl CPolicy {
    pub(super) fn new(
        table: PolicyTable,
        data: *mut c_void,
        base: Option<PolicyHandle>,
    ) -> Result<Self, Error> {
        if base.is_none() {
            require(
                PolicyTable::NAME,
                &[
                    ("get_event_loop", table.get_event_loop.is_some()),
                    ("set_event_loop", table.set_event_loop.is_some()),
                    ("new_event_loop", table.new_event_loop.is_some()),
                    ("get_child_watcher", table.get_child_watcher.is_some()),
                    ("set_child_watcher", table.set_child_watcher.is_some()),
                ],
            )?;
        }
        Ok(Self { table, data, base })
    }
}

/// Methods that give an object, and methods that take one or none.
macro_rules! policy_methods {
    ($(gives $get:ident / $get_as:ident: $given:ty;)* $(takes $set:ident / $set_as:ident: $taken:ty;)*) => {
        impl Policy for CPolicy {
            $(fn $get(&self, this: &PolicyHandle) -> Result<$given, Error> {
                let Some(function) = self.table.$get else { return delegate!(self, $get_as(this)) };
                let mut out = ptr::null_mut();
                // SAFETY: the table is that of `data`; `this` is lent for the call.
                ask(stringify!($get), |error| unsafe {
                    function(self.data, handles::lend(this), &raw mut out, error)
                })?;
                // SAFETY: what comes through an `out` belongs to its receiver, as `loophost.h` has it.
                unsafe { receive(out, stringify!($get)) }
            })*

            $(fn $set(&self, this: &PolicyHandle, it: Option<$taken>) -> Result<(), Error> {
                let Some(function) = self.table.$set else { return delegate!(self, $set_as(this, it)) };
                let it = it.as_ref().map_or(ptr::null_mut(), handles::lend);
                // SAFETY: the table is that of `data`; both handles are lent for the call.
                ask(stringify!($set), |error| unsafe {
                    function(self.data, handles::lend(this), it, error)
                })?;
                Ok(())
            })*

            fn base(&self) -> Option<PolicyHandle> {
                self.base.clone()
            }

            fn extension(&self, id: &str) -> *const c_void {
                match (self.table.extension, &self.base) {
                    // SAFETY: the table is that of `data`.
                    (Some(function), _) => unsafe { function(self.data, text::to_c(id).as_ptr()) },
                    (None, base) => base.as_ref().map_or(ptr::null(), |base| base.extension(id)),
                }
            }
        }

        /// `loophost_host.policies`.
        pub(super) static POLICIES: PolicyTable = PolicyTable {
            drop: Some(drop_handle),
            $($get: Some($get),)*
            $($set: Some($set),)*
            extension: Some(extension),
            ..PolicyTable::EMPTY
        };

        $(unsafe extern "C" fn $get(
            handle: *mut c_void,
            outermost: *mut PolicyHandle,
            out: *mut *mut $given,
            error: *mut CError,
        ) -> c_int {
            // SAFETY: `loophost.h` has the plugin pass handles of their kinds, and places for result and error.
            unsafe {
                answer(error, || {
                    let handle = lent(handle.cast::<PolicyHandle>(), "the handle")?;
                    put(out, handles::give(handle.$get_as(outermost.as_ref().unwrap_or(handle))?))
                })
            }
        })*

        $(unsafe extern "C" fn $set(
            handle: *mut c_void,
            outermost: *mut PolicyHandle,
            it: *mut $taken,
            error: *mut CError,
        ) -> c_int {
            // SAFETY: as above.
            unsafe {
                answer(error, || {
                    let handle = lent(handle.cast::<PolicyHandle>(), "the handle")?;
                    handle.$set_as(outermost.as_ref().unwrap_or(handle), it.as_ref().cloned())
                })
            }
        })*
    };
}

policy_methods! {
    gives get_event_loop / get_event_loop_as: LoopHandle;
    gives new_event_loop / new_event_loop_as: LoopHandle;
    gives get_child_watcher / get_child_watcher_as: WatcherHandle;
    takes set_event_loop / set_event_loop_as: LoopHandle;
    takes set_child_watcher / set_child_watcher_as: WatcherHandle;
}

impl Drop for CPolicy {
    fn drop(&mut self) {
        if let Some(drop) = self.table.drop {
            // SAFETY: the table is that of `data`, and this is its last use.
            unsafe { drop(self.data) }
        }
    }
}

unsafe extern "C" fn drop_handle(handle: *mut c_void) {
    // SAFETY: `loophost.h` has the plugin pass a handle of its own, for the last time.
    unsafe { handles::free(handle.cast::<PolicyHandle>()) }
}

unsafe extern "C" fn extension(handle: *mut c_void, id: *const c_char) -> *const c_void {
    // SAFETY: `loophost.h` has the plugin pass the handle of a policy; the id is text.
    unsafe {
        let handle = handle.cast::<PolicyHandle>().as_ref();
        guarded(ptr::null(), || handle.map_or(ptr::null(), |handle| handle.extension(&text::shown(id))))
    }
}
