//! A copy of this workspace that has another version of the ABI, and what is built of it.

use std::{
    collections::HashSet,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use loophost::ABI_MINOR;
use loophost_tests::workspace;

use crate::edit::{Edit, edited};

/// What is built of each.
const PACKAGES: [&str; 4] =
    ["loophost-cli", "loophost-poll", "loophost-fixture-wrapping", "loophost-fixture-runs-early"];
/// The plugins among them.
const LIBRARIES: [(&str, &str); 3] = [
    ("poll", "plugins/poll/Cargo.toml"),
    ("wrapping", "tests/fixtures/wrapping/Cargo.toml"),
    ("runs_early", "tests/fixtures/runs-early/Cargo.toml"),
];
/// What is copied.
const SOURCE: [&str; 7] = ["Cargo.toml", "Cargo.lock", "examples", "host", "plugin-api", "plugins", "tests"];

pub(crate) struct Edition {
    folder: PathBuf,
    minor: u32,
}

impl Edition {
    /// Copies the workspace and builds it, as far as it has changed since the last time.
    pub(crate) fn build(name: &str, minor: u32, edits: &[Edit]) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("minors").join(name);
        let version = version(minor);
        let edits: Vec<_> = version.iter().chain(edits).collect();
        copy(&folder, &edits);
        build(&folder);
        Self { folder, minor }
    }

    /// A program that was built.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join("target/debug").join(name)
    }

    /// A plugin that was built.
    pub(crate) fn library(&self, name: &str) -> PathBuf {
        let file = format!("{}{name}_{}{}", env::consts::DLL_PREFIX, self.minor, env::consts::DLL_SUFFIX);
        self.program(&file)
    }

    /// Where its `loophost.h` is.
    pub(crate) fn include(&self) -> PathBuf {
        self.folder.join("plugin-api/include")
    }
}

/// The ABI's version, and names by which cargo tells what it builds from that of the workspace and of the other copy. The
/// version of the crates, which is not that of the ABI, is one of them.
fn version(minor: u32) -> Vec<Edit> {
    let crates = |version: &str| format!("[workspace.package]\nversion = \"{version}\"");
    let library = |(name, file)| Edit::after(file, "[lib]\n", &format!("name = \"{name}_{minor}\"\n"));
    let names = LIBRARIES.into_iter().map(library);
    names
        .chain([
            Edit::replace(
                "Cargo.toml",
                crates(env!("CARGO_PKG_VERSION")),
                crates(&format!("{}.0.0", 98 + minor)),
            ),
            Edit::replace(
                "plugin-api/src/lib.rs",
                format!("pub const ABI_MINOR: u32 = {ABI_MINOR};"),
                format!("pub const ABI_MINOR: u32 = {minor};"),
            ),
            Edit::replace(
                "plugin-api/include/loophost.h",
                format!("#define LOOPHOST_ABI_MINOR {ABI_MINOR}u\n"),
                format!("#define LOOPHOST_ABI_MINOR {minor}u\n"),
            ),
        ])
        .collect()
}

/// Files that have not changed are left alone, so that cargo does not build them again.
fn copy(to: &Path, edits: &[&Edit]) {
    let mut files = files(workspace());
    files.extend(edits.iter().filter_map(|edit| edit.new_file()));
    for file in &files {
        let (copy, content) = (to.join(file), edited(workspace(), file, edits));
        if fs::read(&copy).is_ok_and(|old| old == content) {
            continue;
        }
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::write(copy, content).unwrap();
    }
    let files: HashSet<_> = files.into_iter().collect();
    for gone in self::files(to).into_iter().filter(|file| !files.contains(file)) {
        fs::remove_file(to.join(gone)).unwrap();
    }
}

/// The source files in a folder, by their names there.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut left: Vec<PathBuf> = SOURCE.map(Into::into).into();
    while let Some(name) = left.pop() {
        let path = folder.join(&name);
        if path.is_dir() {
            left.extend(fs::read_dir(path).unwrap().map(|entry| name.join(entry.unwrap().file_name())));
        } else if path.is_file() {
            files.push(name);
        }
    }
    files
}

fn build(folder: &Path) {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // What others have written is the same in all copies: it is built once, where the workspace's is. A cargo that knows no
    // such folder builds it again.
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mut command = Command::new(cargo);
    command.args(["build", "--offline", "--profile", "dev"]);
    command.args(PACKAGES.iter().flat_map(|package| ["-p", package]));
    command.env("CARGO_TARGET_DIR", folder.join("target")).env("CARGO_BUILD_BUILD_DIR", shared);
    let output = command.current_dir(folder).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} in {}:\n{said}", folder.display());
}
