//! Plugin files in folders of our own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::cdylib;

/// A fresh folder, and its canonical name.
///
/// # Panics
/// It cannot be made.
pub fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().expect("a folder can be made");
    let path = folder.path().canonicalize().expect("the folder is there");
    (folder, path)
}

/// Builds the plugin of a package and copies it to a folder that whoever runs the tests is trusted with.
///
/// # Panics
/// It does not build, or cannot be copied.
pub fn copy(package: &str, to: &Path) -> PathBuf {
    copy_of(&cdylib(package), to)
}

/// The same for a file that is there.
///
/// # Panics
/// It cannot be copied.
pub fn copy_of(from: &Path, to: &Path) -> PathBuf {
    let path = to.join(from.file_name().expect("a file has a name"));
    fs::copy(from, &path).expect("a plugin can be copied");
    path
}

/// An offer of a plugin file, as one writes it.
pub fn offer(path: &Path, name: &str) -> String {
    format!("{}#{name}", path.display())
}
