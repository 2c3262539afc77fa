//! The functions of a plugin in C, `loophost_c_plugin_1`.

use std::{
    ffi::{CString, c_void},
    ptr,
};

use loophost_plugin_api::{Error, Options, PolicyHandle, WatcherHandle};

use super::{
    abi::PluginTable,
    handles, host_table,
    result::{ask, copy_table, receive},
    text::{Pairs, to_c},
};

/// A plugin in C.
#[derive(Clone, Copy)]
pub(in super::super) struct CRoot(PluginTable);

impl CRoot {
    /// Copies the plugin's table.
    ///
    /// # Safety
    /// `table` is that of a plugin that stays loaded: `LOOPHOST_PLUGIN` vouches for its type.
    pub(in super::super) unsafe fn new(table: *const c_void) -> Result<Self, Error> {
        // SAFETY: the caller's guarantee.
        Ok(Self(unsafe { copy_table(table.cast())? }))
    }

    pub(in super::super) fn init(&self) -> Result<(), Error> {
        let Some(init) = self.0.init else { return Ok(()) };
        // SAFETY: the plugin vouches for its function; the table is a static.
        ask("init", |error| unsafe { init(ptr::from_ref(host_table::table()), error) })?;
        Ok(())
    }

    pub(in super::super) fn make_policy(
        &self,
        name: &str,
        options: &Options,
        base: Option<PolicyHandle>,
    ) -> Result<PolicyHandle, Error> {
        let new_policy = self.0.new_policy.ok_or_else(|| Error::not_supported("new_policy"))?;
        let (name, options) = arguments(name, options);
        let base = base.as_ref().map_or(ptr::null_mut(), handles::lend);
        let mut out = ptr::null_mut();
        // SAFETY: the plugin vouches for its function; all arguments are lent for the call.
        ask("new_policy", |error| unsafe {
            new_policy(name.as_ptr(), options.as_ptr(), options.len(), base, &raw mut out, error)
        })?;
        // SAFETY: what comes through an `out` belongs to its receiver, as `loophost.h` has it.
        unsafe { receive(out, "new_policy") }
    }

    pub(in super::super) fn make_watcher(
        &self,
        name: &str,
        options: &Options,
        base: Option<WatcherHandle>,
    ) -> Result<WatcherHandle, Error> {
        let new_watcher = self.0.new_watcher.ok_or_else(|| Error::not_supported("new_watcher"))?;
        let (name, options) = arguments(name, options);
        let base = base.as_ref().map_or(ptr::null_mut(), handles::lend);
        let mut out = ptr::null_mut();
        // SAFETY: as above.
        ask("new_watcher", |error| unsafe {
            new_watcher(name.as_ptr(), options.as_ptr(), options.len(), base, &raw mut out, error)
        })?;
        // SAFETY: as above.
        unsafe { receive(out, "new_watcher") }
    }

    pub(in super::super) fn extension(&self, id: &str) -> *const c_void {
        // SAFETY: the plugin vouches for its function; the id is lent for the call.
        self.0.extension.map_or(ptr::null(), |extension| unsafe { extension(to_c(id).as_ptr()) })
    }
}

fn arguments(name: &str, options: &Options) -> (CString, Pairs) {
    (to_c(name), Pairs::new(options))
}
