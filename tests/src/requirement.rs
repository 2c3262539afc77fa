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

/// Whether there is io_uring here; if not, that is said.
///
/// # Panics
/// There is none, and nothing may be skipped; see [`skip`].
pub fn io_uring_works() -> bool {
    let why = match loophost::probe::io_uring() {
        Ok(probe) if probe.works => return true,
        Ok(probe) => probe.reason,
        Err(error) => error.to_string(),
    };
    skip(&format!("io_uring does not work here: {why}"));
    false
}

/// Whether there is a libuv here; if not, that is said.
///
/// # Panics
/// There is none, and nothing may be skipped, see [`skip`]; or there is one, and the plugin does not work.
pub fn libuv_works() -> bool {
    let plugin = plugin::load(&cdylib("loophost-libuv"), &trust()).expect("the plugin can be loaded");
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
