//! What a test needs of the machine and may not find.

use std::{
    env,
    io::{self, Write},
    path::PathBuf,
};

use loophost::{
    ErrorCode, Options, PolicyHandle,
    plugin::{self, OfferErrorKind},
    policy::DefaultEventLoopPolicy,
};

use crate::{cdylib, trust};

/// Where servers are that are not in everybody's `PATH`.
const ADMIN_FOLDERS: &str = "/usr/local/sbin:/usr/sbin:/sbin";

/// The program, from `PATH` or a folder for administrators; `None` if it is not installed, and then the test is skipped.
///
/// # Panics
/// It is not installed, and nothing may be skipped; see [`skip`].
pub fn require(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(env::split_paths(ADMIN_FOLDERS));
    let found = folders.map(|folder| folder.join(program)).find(|file| file.is_file());
    if found.is_none() {
        skip(&format!("{program} not installed"));
    }
    found
}

/// Whether this machine has what the plugin of a package needs: libuv. If not, what tests it is skipped.
///
/// # Panics
/// It has not, and nothing may be skipped; or it has, and the plugin does not work.
pub fn can_run(package: &str) -> bool {
    if package != "loophost-libuv" {
        return true;
    }
    let plugin = plugin::load(&cdylib(package), &trust()).expect("the plugin can be loaded");
    let default = PolicyHandle::new(DefaultEventLoopPolicy::new());
    match plugin.new_policy(None, &Options::new(), Some(default)) {
        Ok(_) => true,
        Err(error) => match &error.reason {
            OfferErrorKind::Failed { source, .. } if source.code() == ErrorCode::NOT_FOUND => {
                skip(source.message());
                false
            }
            _ => panic!("{error}"),
        },
    }
}

/// Says that a test, or a part of it, is skipped.
///
/// # Panics
/// `LOOPHOST_REQUIRE=all` is set: then everything must be there.
pub fn skip(why: &str) {
    assert!(env::var_os("LOOPHOST_REQUIRE").is_none_or(|what| what != "all"), "LOOPHOST_REQUIRE=all: {why}");
    // Not captured, unlike println!'s.
    let _ = writeln!(io::stderr(), "skipped: {why}");
}
