//! The plugins that bring loops of their own.

use std::path::PathBuf;

use crate::{C_POLICY, c_plugin, cdylib, io_uring_works, libuv_works};

/// A plugin with a policy whose loops are its own.
#[derive(Clone, Debug)]
pub struct LoopPlugin {
    /// What `--policy` takes.
    pub name: &'static str,
    /// The file, as it was built.
    pub file: PathBuf,
}

/// All that we ship or show, as far as this machine has what they need.
///
/// # Panics
/// One does not build; or something is missing and nothing may be skipped.
pub fn loop_plugins() -> Vec<LoopPlugin> {
    let in_rust = |name, package| LoopPlugin { name, file: cdylib(package) };
    let mut plugins = vec![in_rust("poll", "loophost-poll")];
    plugins.extend(io_uring_works().then(|| in_rust("uring", "loophost-uring")));
    plugins.extend(libuv_works().then(|| in_rust("libuv", "loophost-libuv")));
    let in_c = c_plugin(C_POLICY, "loophost_c_policy", &[]);
    plugins.extend(in_c.map(|file| LoopPlugin { name: "c-policy", file }));
    plugins
}
