//! What a plugin file is: the author's [`Plugin`], the macro that exports it, the descriptor that is read without
//! running anything, and the root that is called once it is loaded.

mod descriptor;
mod root;

use std::{ffi::c_void, ptr};

pub use descriptor::{Descriptor, Metadata, Offer, OfferKind, OptionHelp};
#[doc(hidden)]
pub use root::{PluginRoot_Ref, root_header};

use crate::{Error, Options, PolicyHandle, WatcherHandle};

/// The author's side of a plugin file; exported with [`export_plugin!`](crate::export_plugin).
///
/// All functions are called by the host with no lock held, on any thread; panics become errors.
#[expect(unused_variables, reason = "the names of the parameters are documentation")]
pub trait Plugin: 'static {
    /// Called once, after the file was loaded and before anything else. It must not start threads, and must not
    /// change signals, descriptors or the working folder of the process.
    fn init() -> Result<(), Error> {
        Ok(())
    }

    /// Makes the policy that is offered as `name`. `base` is the host's default policy.
    fn new_policy(name: &str, options: &Options, base: Option<PolicyHandle>) -> Result<PolicyHandle, Error> {
        Err(Error::not_supported("new_policy"))
    }

    /// Makes the child watcher that is offered as `name`. `base` is the host's default watcher.
    fn new_watcher(
        name: &str,
        options: &Options,
        base: Option<WatcherHandle>,
    ) -> Result<WatcherHandle, Error> {
        Err(Error::not_supported("new_watcher"))
    }

    /// The table of extension `vendor.name/1`, or null: a static, see [`ExtensionHead`](crate::ExtensionHead).
    fn extension(id: &str) -> *const c_void {
        ptr::null()
    }
}

/// Exports a [`Plugin`]: once in a `cdylib` crate.
///
/// What the plugin offers is written here, because `loophost plugin inspect` shows it without loading the file.
///
/// After `summary` there may be `needs_minor: N`, for a plugin that works on hosts whose minor of the ABI is N or newer.
/// Without it that is [`ABI_MINOR`](crate::ABI_MINOR), what it is built for. With it the author promises that the plugin
/// uses nothing that came after N, or does without where it is `NotSupported`.
///
/// ```
/// # use loophost_plugin_api as loophost_plugin_api;
/// use loophost_plugin_api::{Error, Options, Plugin, Policy, PolicyHandle, export_plugin};
///
/// struct Mine;
///
/// struct MyPolicy(PolicyHandle);
///
/// impl Policy for MyPolicy {
///     fn base(&self) -> Option<PolicyHandle> {
///         Some(self.0.clone())
///     }
/// }
///
/// impl Plugin for Mine {
///     fn new_policy(_: &str, _: &Options, base: Option<PolicyHandle>) -> Result<PolicyHandle, Error> {
///         base.map(|base| PolicyHandle::new(MyPolicy(base))).ok_or(Error::not_supported("no base"))
///     }
/// }
///
/// export_plugin! {
///     plugin: Mine,
///     name: "mine",
///     summary: "does nothing of its own",
///     needs_minor: 0,
///     offers: [policy "mine" { summary: "the default, by another name", options: {} }],
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! export_plugin {
    (
        plugin: $plugin:ty,
        name: $name:literal,
        summary: $summary:literal,
        $(needs_minor: $needs_minor:literal,)?
        offers: [$(
            $kind:ident $offer:literal {
                summary: $offer_summary:literal,
                options: { $($option:literal: $help:literal),* $(,)? } $(,)?
            }
        ),+ $(,)?] $(,)?
    ) => {
        #[allow(unsafe_code, non_upper_case_globals, reason = "the two symbols that the host looks for")]
        const _: () = {
            #[used]
            #[unsafe(export_name = "loophost_plugin_1")]
            static loophost_plugin_1: $crate::Descriptor = $crate::Descriptor::new(concat!(
                "name=", $name,
                "\nversion=", env!("CARGO_PKG_VERSION"),
                "\nsummary=", $summary,
                $(
                    "\noffer=", $crate::export_plugin!(@kind $kind), ":", $offer,
                    "\noffer.summary=", $offer_summary,
                    $("\noffer.option.", $option, "=", $help,)*
                )+
            ))
            .aborting(cfg!(panic = "abort"))
            $(.needing($needs_minor))?;

            #[used]
            #[unsafe(export_name = "loophost_root_1")]
            static loophost_root_1: $crate::__private::LibHeader = {
                fn root() -> $crate::__private::PluginRoot_Ref {
                    $crate::__private::PluginRoot_Ref::of::<$plugin>()
                }
                extern "C" fn erased() -> $crate::__private::RootModuleResult {
                    $crate::__private::call_root_module_loader(root)
                }
                $crate::__private::root_header(erased)
            };
        };
    };
    (@kind policy) => { "policy" };
    (@kind watcher) => { "watcher" };
}
