//! Environment variables that name code to be run.

use std::{env, ffi::OsString};

use crate::sys::auxv;

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
