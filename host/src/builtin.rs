//! What is built in: loops, watchers and the default policy, offered as a plugin file offers its own.
//!
//! A built-in is a plugin that happens to be linked in. It implements the same traits, is described by the same
//! [`Descriptor`] and is made through the same functions, so that whatever works with plugins (`plugin list`,
//! `--policy NAME`) works with it too. Only its descriptor is not exported, for an embedding program may be a library.

pub mod loops;
pub mod watchers;

use std::sync::OnceLock;

use crate::{
    Descriptor, Error, ErrorCode, Options, Plugin, PolicyHandle, WatcherHandle, plugin,
    policy::DefaultEventLoopPolicy, services,
};

static DESCRIPTOR: Descriptor = Descriptor::new(concat!(
    "name=builtin\nversion=",
    env!("CARGO_PKG_VERSION"),
    "\nsummary=what loophost has without any plugin",
    "\noffer=policy:default\noffer.summary=one loop for each thread, made by the selector of the system",
    "\noffer=watcher:pidfd\noffer.summary=a pidfd for each child, watched by one loop",
    "\noffer=watcher:threaded\noffer.summary=a thread for each child, works everywhere",
    "\noffer=watcher:safe\noffer.summary=SIGCHLD, then a look at each of its children",
    "\noffer=watcher:fast\noffer.summary=SIGCHLD, then reaps every child of the process, also those of other code",
    "\noffer.option.polite=leave the children of other code alone (true or false)",
    "\noffer=watcher:multi-loop\noffer.summary=SIGCHLD for loops in any thread",
    "\noffer=watcher:auto\noffer.summary=pidfd if it really works here, else threaded",
));

struct Builtin;

impl Plugin for Builtin {
    fn new_policy(name: &str, options: &Options, _base: Option<PolicyHandle>) -> Result<PolicyHandle, Error> {
        match name {
            "default" => {
                Ok(PolicyHandle::new(DefaultEventLoopPolicy::with_loop("selector", options.clone())))
            }
            _ => Err(Error::new(ErrorCode::NOT_FOUND, format!("no policy `{name}` is built in"))),
        }
    }

    fn new_watcher(
        name: &str,
        options: &Options,
        _base: Option<WatcherHandle>,
    ) -> Result<WatcherHandle, Error> {
        watchers::new_for_plugin(name, options)
    }
}

/// The names of the built-in policies.
pub const POLICIES: [&str; 1] = ["default"];
/// The names of the built-in watchers.
pub const WATCHERS: [&str; 6] = ["auto", "fast", "multi-loop", "pidfd", "safe", "threaded"];

/// The built-ins as a plugin, for everything that works with plugins.
pub fn plugin() -> &'static plugin::Plugin {
    static PLUGIN: OnceLock<plugin::Plugin> = OnceLock::new();
    services::install();
    PLUGIN.get_or_init(|| plugin::Plugin::built_in::<Builtin>(&DESCRIPTOR))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OfferKind, host};

    #[test]
    fn every_offer_is_named_and_has_a_summary() {
        let offers = &plugin().metadata().offers;
        let names = |kind| {
            let mut names: Vec<_> =
                offers.iter().filter(|offer| offer.kind == kind).map(|offer| &*offer.name).collect();
            names.sort_unstable();
            names
        };
        assert_eq!(names(OfferKind::Policy), POLICIES);
        assert_eq!(names(OfferKind::Watcher), WATCHERS);
        assert!(offers.iter().all(|offer| !offer.summary.is_empty()));
    }

    /// As `new_loop` and `new_watcher` of `loophost_plugin_api::host` promise.
    #[test]
    fn the_names_that_plugins_rely_on_are_there() {
        plugin();
        let (none, mut polite) = (Options::new(), Options::new());
        polite.push("polite", "true");
        host::new_loop("selector", &none).unwrap().close().unwrap();
        for name in ["auto", "pidfd", "threaded", "safe", "fast", "multi-loop"] {
            host::new_watcher(name, &none).unwrap().close().unwrap();
        }
        host::new_watcher("fast", &polite).unwrap().close().unwrap();
        assert_eq!(host::new_loop("other", &none).unwrap_err().code(), ErrorCode::NOT_FOUND);
        assert_eq!(host::new_watcher("other", &none).unwrap_err().code(), ErrorCode::NOT_FOUND);
        assert_eq!(host::new_loop("selector", &polite).unwrap_err().code(), ErrorCode::INVALID_ARGUMENT);
        assert_eq!(host::new_watcher("safe", &polite).unwrap_err().code(), ErrorCode::INVALID_ARGUMENT);
    }

    #[test]
    fn what_is_offered_is_made_and_nothing_else() {
        plugin().new_policy(Some("default"), &Options::new(), None).unwrap();
        let error = plugin().new_policy(Some("other"), &Options::new(), None).unwrap_err();
        assert!(error.to_string().contains("other"), "{error}");
    }
}
