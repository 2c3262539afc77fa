//! The same tests on the loops of each plugin, out of their files: the program runs itself again, with `LOOPHOST_POLICY` set.

#![allow(clippy::unwrap_used, dead_code, reason = "tests, and each program uses a part of it")]

use std::{
    env,
    process::{Command, Stdio},
    sync::Once,
};

use loophost::{Error, policy};
use loophost_tests::{
    loop_plugins,
    plugin_file::{copy_of, folder},
};

const POLICY: &str = "LOOPHOST_POLICY";
/// The name of the built-in loop.
const BUILT_IN: &str = "SelectorEventLoop";

/// Sets the policy that the environment names, the first time.
pub(crate) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| loophost::install_from_env().unwrap());
}

/// [`loophost::run`] on that policy.
pub(crate) fn run<F: Future>(future: F) -> Result<F::Output, Error> {
    install();
    loophost::run(future)
}

/// [`loophost::block_on`] on that policy.
pub(crate) fn block_on<F: Future>(future: F) -> Result<F::Output, Error> {
    install();
    loophost::block_on(future)
}

/// Runs this program again on each plugin; there it makes sure that it has other loops.
pub(crate) fn repeat() {
    let is_built_in = run(async { policy::get_running_loop().unwrap().name() == BUILT_IN }).unwrap();
    let is_repetition = env::var_os(POLICY).is_some();
    assert_ne!(is_built_in, is_repetition);
    if is_repetition {
        return;
    }
    let (_folder, trusted) = folder();
    for plugin in loop_plugins() {
        let mut again = Command::new(env::current_exe().unwrap());
        again.env(POLICY, copy_of(&plugin.file, &trusted)).stdin(Stdio::null());
        let output = again.output().unwrap();
        assert!(
            output.status.success(),
            "on {}: {}\n{}{}",
            plugin.name,
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
