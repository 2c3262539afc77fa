//! Plugin files in folders of our own.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use loophost::{ABI_MAJOR, ABI_MINOR, Descriptor};
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

/// A copy of a package's plugin with other bytes at some offsets of its descriptor.
///
/// # Panics
/// It does not build, or has no descriptor.
pub fn with_descriptor(package: &str, to: &Path, patches: &[(usize, &[u8])]) -> PathBuf {
    let path = copy(package, to);
    let content = fs::read(&path).expect("the copy is there");
    // The magic alone is in the code as well.
    let size = (size_of::<Descriptor>() as u32).to_le_bytes();
    let start: Vec<u8> = Descriptor::MAGIC.into_iter().chain(size).collect();
    let descriptors = (0..content.len()).filter(|at| content[*at..].starts_with(&start));
    let file = File::options().write(true).open(&path).expect("the copy is ours");
    let mut found = 0;
    for descriptor in descriptors {
        found += 1;
        for (at, bytes) in patches {
            file.write_all_at(bytes, (descriptor + at) as u64).expect("the copy can be changed");
        }
    }
    assert_ne!(found, 0, "{} has no descriptor", path.display());
    path
}

/// The version of the ABI, or one so many minors later, as messages show it.
pub fn abi(later: u32) -> String {
    format!("{ABI_MAJOR}.{}", ABI_MINOR + later)
}

/// An offer of a plugin file, as one writes it.
pub fn offer(path: &Path, name: &str) -> String {
    format!("{}#{name}", path.display())
}
