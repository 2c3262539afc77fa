//! The functions of a plugin, in whatever language.

use std::ffi::c_void;

use loophost_plugin_api::{__private::PluginRoot_Ref, Error, Options, PolicyHandle, WatcherHandle};

use super::c::CRoot;
use crate::services;

#[derive(Clone, Copy)]
pub(super) enum Root {
    Rust(PluginRoot_Ref),
    C(CRoot),
}

impl Root {
    /// Starts a plugin out of a file.
    pub(super) fn init(&self) -> Result<(), Error> {
        match self {
            Self::Rust(root) => root.init()(services::table()).into_result(),
            Self::C(root) => root.init(),
        }
    }

    pub(super) fn make_policy(
        &self,
        name: &str,
        options: &Options,
        base: Option<PolicyHandle>,
    ) -> Result<PolicyHandle, Error> {
        match self {
            Self::Rust(root) => root.make_policy(name, options, base),
            Self::C(root) => root.make_policy(name, options, base),
        }
    }

    pub(super) fn make_watcher(
        &self,
        name: &str,
        options: &Options,
        base: Option<WatcherHandle>,
    ) -> Result<WatcherHandle, Error> {
        match self {
            Self::Rust(root) => root.make_watcher(name, options, base),
            Self::C(root) => root.make_watcher(name, options, base),
        }
    }

    pub(super) fn extension(&self, id: &str) -> *const c_void {
        match self {
            Self::Rust(root) => root.extension()(id.into()),
            Self::C(root) => root.extension(id),
        }
    }
}
