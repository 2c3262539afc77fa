//! Environment variables that name code to be run: what whoever starts a program has chosen for it.
//!
//! `loophost run` and `batch` set them for what they start, [`install_from_env`](crate::install_from_env) follows them, and
//! so does `loophost` itself.

mod option_list;

use std::{env, ffi::OsString};

use crate::{Error, Options, sys::auxv};

/// The policy: a built-in, the name of a plugin or a file, as [`Reference`](crate::plugin::Reference) has it.
pub const POLICY: &str = "LOOPHOST_POLICY";
/// The options of the policy that [`POLICY`] names: see [`options`].
pub const POLICY_OPT: &str = "LOOPHOST_POLICY_OPT";
/// The child watcher, written as the policy is.
pub const WATCHER: &str = "LOOPHOST_WATCHER";
/// The options of the watcher that [`WATCHER`] names.
pub const WATCHER_OPT: &str = "LOOPHOST_WATCHER_OPT";
/// The version of asyncio whose defaults hold: see [`Profile`](crate::policy::Profile).
pub const COMPAT: &str = "LOOPHOST_COMPAT";
/// Whose plugins are loaded, besides root's and the user's: see [`trusted_owners`].
pub const TRUST_OWNER: &str = "LOOPHOST_TRUST_OWNER";

/// Whether this program has more rights than the user who started it (set-user-ID, set-group-ID, file capabilities: the
/// kernel's `AT_SECURE`). Then nothing that comes from that user, variable or flag, may choose what it loads.
pub fn has_more_rights_than_its_user() -> bool {
    auxv::is_secure()
}

/// The variable, unless this program runs with more rights than its user (`AT_SECURE`): then nothing that the user could
/// set may choose what it loads. An empty variable counts as unset.
pub fn trusted_var(name: &str) -> Option<OsString> {
    if auxv::is_secure() { None } else { env::var_os(name).filter(|value| !value.is_empty()) }
}

/// The options in a variable, [`POLICY_OPT`] or [`WATCHER_OPT`]: `entries=64,sqpoll=10`. A comma separates them, and a `\`
/// takes the character after it as it is: `name=a\,b` has a comma in its value, `name=a\\b` a backslash.
///
/// # Errors
/// `InvalidArgument`: it is written otherwise; the message names the variable and its value.
pub fn options(variable: &str) -> Result<Options, Error> {
    let Some(value) = trusted_var(variable) else { return Ok(Options::new()) };
    let text = value.to_str().ok_or("it is not UTF-8 text");
    text.and_then(option_list::parse).map_err(|problem| {
        let value = value.display();
        Error::invalid_argument(format!(
            "{variable}={value}: {problem}; write KEY=VALUE,KEY=VALUE with \\, for a comma in a value"
        ))
    })
}

/// The value that [`options`] reads as these.
pub fn options_value(options: &Options) -> String {
    option_list::join(options)
}

/// The users in [`TRUST_OWNER`], by number, with commas: `1000,1001`.
///
/// # Errors
/// `InvalidArgument`: there is something else; the message names the variable and its value.
pub fn trusted_owners() -> Result<Vec<u32>, Error> {
    let Some(value) = trusted_var(TRUST_OWNER) else { return Ok(Vec::new()) };
    let text = value.to_string_lossy();
    // The last number is what chown(2) takes for "do not change".
    let owner = |part: &str| part.trim().parse().ok().filter(|owner| *owner != u32::MAX);
    text.split(',')
        .map(|part| {
            owner(part).ok_or_else(|| {
                Error::invalid_argument(format!(
                    "{TRUST_OWNER}={text}: `{part}` is no user's number; write numbers with commas"
                ))
            })
        })
        .collect()
}
