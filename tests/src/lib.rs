//! What the black-box tests of loophost share: the files that they test, built by cargo when they are asked for.
//!
//! `cargo test --workspace` builds no cdylib by itself, so [`cdylib`] does, in the profile of the test run.

mod c_plugin;
mod each_loop;
mod eventually;
mod log_lines;
mod loop_plugins;
pub mod plugin_file;
pub mod proc;
pub mod pty;
mod requirement;
mod server;
mod setup;
mod started;
pub mod suite;
pub mod witness;

use std::{
    collections::HashMap,
    env,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

use loophost::plugin::Trust;
use serde_json::Value;

pub use c_plugin::{C_POLICY, c_plugin, c_plugin_against};
pub use each_loop::{Loop, on_each_loop};
pub use eventually::eventually;
pub use log_lines::LogLines;
pub use loop_plugins::{LoopPlugin, loop_plugins};
pub use requirement::{io_uring_works, libuv_works, require, skip};
pub use server::Server;
pub use setup::{Plugins, Setup};
pub use started::{Ended, Started, command, lines, loophost, run};

/// The code of the guide and of the README is compiled and run as the examples of these are.
#[cfg(doctest)]
#[doc = include_str!("../../GUIDE.md")]
pub struct Guide;

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

/// The workspace.
pub fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The shared library of a workspace member, built.
///
/// # Panics
/// It does not build, or it has no shared library.
pub fn cdylib(package: &str) -> PathBuf {
    built(package, |artifact| {
        let is_cdylib = artifact["target"]["kind"].as_array()?.iter().any(|kind| kind == "cdylib");
        is_cdylib.then(|| file_that_ends_with(artifact, env::consts::DLL_EXTENSION))?
    })
}

/// The file for Rust programs that need the library of a workspace member, built; what that needs itself is in the folder
/// `deps` beside it.
///
/// # Panics
/// It does not build, or it has no library.
pub fn rlib(package: &str) -> PathBuf {
    built(package, |artifact| file_that_ends_with(artifact, "rlib"))
}

fn file_that_ends_with(artifact: &Value, extension: &str) -> Option<PathBuf> {
    let mut files = artifact["filenames"].as_array()?.iter().filter_map(Value::as_str).map(PathBuf::from);
    files.find(|file| file.extension().is_some_and(|end| end == extension))
}

/// The profile of the test run.
fn default_profile() -> &'static str {
    if cfg!(debug_assertions) { "dev" } else { "release" }
}

/// The binary `loophost`: that of the environment variable `LOOPHOST_BIN`, so that others can be tested in its place,
/// or the one of this workspace, built.
///
/// # Panics
/// It does not build.
pub fn binary() -> PathBuf {
    env::var_os("LOOPHOST_BIN").map_or_else(|| program("loophost-cli"), PathBuf::from)
}

/// The program of a workspace member, built.
///
/// # Panics
/// It does not build, or it has no program.
pub fn program(package: &str) -> PathBuf {
    built(package, |artifact| artifact["executable"].as_str().map(PathBuf::from))
}

/// Trust that fits the workspace, whoever owns it: in a container it may be a bind mount of somebody else's.
///
/// # Panics
/// The workspace is not there.
pub fn trust() -> Trust {
    let owner = workspace().metadata().expect("the workspace is there").uid();
    Trust::new().with_owner(owner)
}

/// Has cargo build a package, once in each test binary, and picks a file from what cargo says of it.
fn built(package: &str, pick: impl Fn(&Value) -> Option<PathBuf>) -> PathBuf {
    static BUILT: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);
    // Held while cargo runs: a second cargo would only wait for the first.
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let built = built.get_or_insert_default();
    if let Some(file) = built.get(package) {
        return file.clone();
    }
    let output = build(package);
    // What belongs to the package itself comes last.
    let artifacts = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let file =
        artifacts.filter(|message| message["reason"] == "compiler-artifact").filter_map(|a| pick(&a)).last();
    let file =
        file.unwrap_or_else(|| panic!("{package} has been built, but not into the kind of file wanted"));
    built.insert(package.to_owned(), file.clone());
    file
}

fn build(package: &str) -> String {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "build",
        "--locked",
        "--offline",
        "--message-format=json-render-diagnostics",
        "--profile",
        default_profile(),
        "-p",
        package,
    ]);
    let output = command.current_dir(workspace()).stdin(Stdio::null()).output().expect("cargo can be run");
    assert!(
        output.status.success(),
        "cargo build --profile {} -p {package}:\n{}",
        default_profile(),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
