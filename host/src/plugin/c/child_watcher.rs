//! A child watcher of a plugin in C, as everybody's [`ChildWatcher`]; and everybody's watcher for plugins in C.

use std::{
    ffi::{c_char, c_int, c_void},
    ptr,
};

use loophost_plugin_api::{
    __private::Growing, Callback, ChildWatcher, Error, ErrorCode, Fd, LoopHandle, WatcherHandle,
};

use super::{
    abi::{CError, Table, WatcherTable},
    convert::{InC, asks_handle, asks_plugin, delegate},
    handles,
    result::{Heard, answer, ask, guarded, lent, put, require},
    text,
};

pub(super) struct CChildWatcher {
    table: WatcherTable,
    data: *mut c_void,
    base: Option<WatcherHandle>,
}

// SAFETY: `loophost.h` has a plugin expect these functions on any thread.
unsafe impl Send for CChildWatcher {}
// SAFETY: as above.
unsafe impl Sync for CChildWatcher {}

impl CChildWatcher {
    pub(super) fn new(
        table: WatcherTable,
        data: *mut c_void,
        base: Option<WatcherHandle>,
    ) -> Result<Self, Error> {
        if base.is_none() {
            require(
                WatcherTable::NAME,
                &[
                    ("add_child_handler", table.add_child_handler.is_some()),
                    ("remove_child_handler", table.remove_child_handler.is_some()),
                    ("is_active", table.is_active.is_some()),
                    ("close", table.close.is_some()),
                ],
            )?;
        }
        Ok(Self { table, data, base })
    }

    fn any_thread(&self) -> Result<(), Error> {
        Ok(())
    }
}

impl ChildWatcher for CChildWatcher {
    asks_plugin! {
        any_thread fn add_child_handler(pid: i64, pidfd: Fd, callback: Callback) -> say ();
        any_thread fn remove_child_handler(pid: i64) -> say bool;
        any_thread fn close() -> say ();
    }

    fn attach_loop(&self, event_loop: Option<LoopHandle>) -> Result<(), Error> {
        let Some(function) = self.table.attach_loop else {
            return match &self.base {
                Some(base) => base.attach_loop(event_loop),
                // It needs none.
                None => Ok(()),
            };
        };
        let event_loop = event_loop.as_ref().map_or(ptr::null_mut(), handles::lend);
        // SAFETY: the table is that of `data`; the loop is lent for the call.
        ask("attach_loop", |error| unsafe { function(self.data, event_loop, error) })?;
        Ok(())
    }

    fn is_active(&self) -> bool {
        match (self.table.is_active, &self.base) {
            // SAFETY: the table is that of `data`.
            (Some(function), _) => unsafe { function(self.data) != 0 },
            (None, base) => base.as_ref().is_some_and(WatcherHandle::is_active),
        }
    }

    fn begin_spawn(&self) -> Result<u64, Error> {
        match (self.table.begin_spawn, &self.base) {
            (Some(function), _) => {
                let mut token = 0;
                // SAFETY: the table is that of `data`.
                ask("begin_spawn", |error| unsafe { function(self.data, &raw mut token, error) })?;
                Ok(token)
            }
            (None, Some(base)) => base.begin_spawn(),
            (None, None) if self.is_active() => Ok(0),
            (None, None) => Err(Error::new(
                ErrorCode::INACTIVE,
                format!("the child watcher {} is not active: attach a loop to it", self.name()),
            )),
        }
    }

    fn end_spawn(&self, token: u64, pid: i64) -> Result<(), Error> {
        match (self.table.end_spawn, &self.base) {
            (Some(function), _) => {
                // SAFETY: the table is that of `data`.
                ask("end_spawn", |error| unsafe { function(self.data, token, pid, error) })?;
                Ok(())
            }
            (None, Some(base)) => base.end_spawn(token, pid),
            (None, None) => Ok(()),
        }
    }

    fn name(&self) -> String {
        match (self.table.name, &self.base) {
            // SAFETY: the table is that of `data`; the buffer has that room.
            (Some(function), _) => text::named(|buffer, room| unsafe { function(self.data, buffer, room) }),
            (None, Some(base)) => base.name(),
            (None, None) => "child watcher".into(),
        }
    }

    fn base(&self) -> Option<WatcherHandle> {
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

impl Drop for CChildWatcher {
    fn drop(&mut self) {
        if let Some(drop) = self.table.drop {
            // SAFETY: the table is that of `data`, and this is its last use.
            unsafe { drop(self.data) }
        }
    }
}

/// `loophost_host.watchers`.
pub(super) static WATCHERS: WatcherTable = WatcherTable {
    drop: Some(drop_handle),
    add_child_handler: Some(add_child_handler),
    remove_child_handler: Some(remove_child_handler),
    attach_loop: Some(attach_loop),
    is_active: Some(is_active),
    begin_spawn: Some(begin_spawn),
    end_spawn: Some(end_spawn),
    close: Some(close),
    name: Some(name),
    extension: Some(extension),
    ..WatcherTable::EMPTY
};

asks_handle! { WatcherHandle:
    fn add_child_handler(pid: i64, pidfd: i64, callback: Callback) -> say ();
    fn remove_child_handler(pid: i64) -> say bool;
    fn begin_spawn() -> out u64;
    fn end_spawn(token: u64, pid: i64) -> say ();
    fn close() -> say ();
}

unsafe extern "C" fn drop_handle(handle: *mut c_void) {
    // SAFETY: `loophost.h` has the plugin pass a handle of its own, for the last time.
    unsafe { handles::free(handle.cast::<WatcherHandle>()) }
}

unsafe extern "C" fn attach_loop(
    handle: *mut c_void,
    event_loop: *mut LoopHandle,
    error: *mut CError,
) -> c_int {
    // SAFETY: `loophost.h` has the plugin pass handles of their kinds, and a place for the error.
    unsafe {
        answer(error, || {
            lent(handle.cast::<WatcherHandle>(), "the handle")?.attach_loop(event_loop.as_ref().cloned())
        })
    }
}

unsafe extern "C" fn is_active(handle: *mut c_void) -> c_int {
    // SAFETY: `loophost.h` has the plugin pass the handle of a watcher.
    let handle = unsafe { handle.cast::<WatcherHandle>().as_ref() };
    guarded(false, || handle.is_some_and(WatcherHandle::is_active)).into()
}

unsafe extern "C" fn name(handle: *mut c_void, buffer: *mut c_char, room: usize) -> usize {
    // SAFETY: as above; the buffer has that room.
    unsafe {
        let handle = handle.cast::<WatcherHandle>().as_ref();
        text::write(&guarded("?".into(), || handle.map_or("?".into(), WatcherHandle::name)), buffer, room)
    }
}

unsafe extern "C" fn extension(handle: *mut c_void, id: *const c_char) -> *const c_void {
    // SAFETY: as above; the id is text.
    unsafe {
        let handle = handle.cast::<WatcherHandle>().as_ref();
        guarded(ptr::null(), || handle.map_or(ptr::null(), |handle| handle.extension(&text::shown(id))))
    }
}
