//! Plugins in C, built by the system's compiler when a test asks for one, as their author would.

use std::{
    collections::HashMap,
    env, fs,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::{Mutex, PoisonError},
};

use crate::{require, workspace};

/// The source of the example, which needs nothing but a compiler and the header.
pub const C_POLICY: &str = "examples/c-policy/c_policy.c";

/// The library that a source file of the workspace is built into: `libNAME.so`. `None`, and said, if there is no compiler.
///
/// # Panics
/// It does not build without a warning; or there is no compiler and nothing may be skipped.
pub fn c_plugin(source: &str, name: &str, defines: &[&str]) -> Option<PathBuf> {
    c_plugin_against(&workspace().join("plugin-api/include"), source, name, defines)
}

/// The same, with the `loophost.h` of another folder.
///
/// # Panics
/// As [`c_plugin`].
pub fn c_plugin_against(include: &Path, source: &str, name: &str, defines: &[&str]) -> Option<PathBuf> {
    static BUILT: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);
    let compiler = require("cc")?;
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let built = built.get_or_insert_default();
    if let Some(file) = built.get(name) {
        return Some(file.clone());
    }
    let file = folder().join(format!("lib{name}.so"));
    compile(&compiler, include, &workspace().join(source), &file, defines);
    built.insert(name.to_owned(), file.clone());
    Some(file)
}

/// Beside what cargo builds.
fn folder() -> PathBuf {
    let program = env::current_exe().expect("a test has a file");
    let folder = program.with_file_name("c-plugins");
    fs::create_dir_all(&folder).expect("a folder for plugins");
    folder
}

/// Builds to a name of its own first: other tests may build the same, or have it loaded.
fn compile(compiler: &Path, include: &Path, source: &Path, file: &Path, defines: &[&str]) {
    let fresh = file.with_extension(format!("so.{}", process::id()));
    let output = Command::new(compiler)
        .args(["-std=c11", "-g", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-shared", "-fPIC"])
        .args(defines.iter().map(|define| format!("-D{define}")))
        .arg("-I")
        .arg(include)
        .arg("-o")
        .args([&*fresh, source])
        .output()
        .expect("the compiler can be run");
    assert!(output.status.success(), "{}:\n{}", source.display(), String::from_utf8_lossy(&output.stderr));
    fs::rename(&fresh, file).expect("a file can be renamed");
}
