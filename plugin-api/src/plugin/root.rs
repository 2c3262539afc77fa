//! The table of functions that a loaded plugin answers with.

use std::{ffi::c_void, ptr};

use abi_stable::{
    StableAbi,
    library::{CheckTypeLayout, LibHeader, RootModule, RootModuleResult},
    package_version_strings,
    prefix_type::PrefixTypeTrait,
    sabi_types::VersionStrings,
    std_types::{ROption, RStr},
};

use super::Plugin;
use crate::{
    AbiResult, Error, Options, PolicyHandle, WatcherHandle,
    guard::{guard, guard_or, install_panic_hook},
    host::{self, HostServices_Ref},
    key_value::KeyValues,
    log,
};

/// The functions of a plugin. Their order is the ABI.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginRoot_Ref)))]
pub struct PluginRoot {
    /// Called once, before everything else.
    pub init: extern "C" fn(HostServices_Ref) -> AbiResult<()>,
    /// Makes a policy that is on offer.
    pub new_policy: extern "C" fn(RStr<'_>, KeyValues, ROption<PolicyHandle>) -> AbiResult<PolicyHandle>,
    /// Makes a watcher that is on offer.
    pub new_watcher: extern "C" fn(RStr<'_>, KeyValues, ROption<WatcherHandle>) -> AbiResult<WatcherHandle>,
    /// An extension's table, or null: see [`ExtensionHead`](crate::ExtensionHead). It has no object.
    #[sabi(last_prefix_field)]
    pub extension: extern "C" fn(RStr<'_>) -> *const c_void,
}

impl RootModule for PluginRoot_Ref {
    abi_stable::declare_root_module_statics! {PluginRoot_Ref}
    const BASE_NAME: &'static str = "loophost_plugin";
    const NAME: &'static str = "loophost_plugin";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}

impl PluginRoot_Ref {
    /// The functions of the author's `P`.
    pub fn of<P: Plugin>() -> Self {
        PluginRoot {
            init: init::<P>,
            new_policy: new_policy::<P>,
            new_watcher: new_watcher::<P>,
            extension: extension::<P>,
        }
        .leak_into_prefix()
    }

    /// Makes a policy that is on offer; see [`Plugin::new_policy`].
    pub fn make_policy(
        &self,
        name: &str,
        options: &Options,
        base: Option<PolicyHandle>,
    ) -> Result<PolicyHandle, Error> {
        self.new_policy()(name.into(), options.to_abi(), base.into()).into_result()
    }

    /// Makes a watcher that is on offer; see [`Plugin::new_watcher`].
    pub fn make_watcher(
        &self,
        name: &str,
        options: &Options,
        base: Option<WatcherHandle>,
    ) -> Result<WatcherHandle, Error> {
        self.new_watcher()(name.into(), options.to_abi(), base.into()).into_result()
    }
}

/// What abi_stable needs to find and check the root.
pub const fn root_header(root: extern "C" fn() -> RootModuleResult) -> LibHeader {
    // SAFETY: `export_plugin!` is the only caller, and its function returns a `PluginRoot_Ref`.
    unsafe { LibHeader::from_constructor::<PluginRoot_Ref>(root, CheckTypeLayout::Yes) }
}

/// Called in a file that was loaded; the host's own built-ins have no `init`, for they share its statics.
extern "C" fn init<P: Plugin>(services: HostServices_Ref) -> AbiResult<()> {
    guard(|| {
        host::install(services);
        log::install();
        install_panic_hook();
        P::init()
    })
}

extern "C" fn new_policy<P: Plugin>(
    name: RStr<'_>,
    options: KeyValues,
    base: ROption<PolicyHandle>,
) -> AbiResult<PolicyHandle> {
    guard(|| P::new_policy(name.into(), &Options::from_abi(options), base.into_option()))
}

extern "C" fn new_watcher<P: Plugin>(
    name: RStr<'_>,
    options: KeyValues,
    base: ROption<WatcherHandle>,
) -> AbiResult<WatcherHandle> {
    guard(|| P::new_watcher(name.into(), &Options::from_abi(options), base.into_option()))
}

extern "C" fn extension<P: Plugin>(id: RStr<'_>) -> *const c_void {
    guard_or(ptr::null(), "extension", || P::extension(id.into()))
}
