//! Where plugins are looked for by name.

mod not_found;

use std::{
    env,
    ffi::OsString,
    fmt, fs, io,
    path::{Path, PathBuf},
};

pub use not_found::NotFound;

use super::{Flaw, Inspected, LoadError, Trust, inspect};
use crate::sys::auxv;

/// The folders in which a plugin is looked up by its name, in their order. Never the current folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchPath {
    folders: Vec<SearchFolder>,
}

/// A folder of the search path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchFolder {
    /// The folder: absolute; it need not exist.
    pub path: PathBuf,
    /// Who has named it.
    pub origin: Origin,
}

/// Why a folder is on the search path. Its `Display` is for people: "--plugin-path".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// `--plugin-path`.
    Flag,
    /// `LOOPHOST_PLUGIN_PATH`.
    Environment,
    /// `plugin-path` of a configuration file.
    Configuration,
    /// `$XDG_DATA_HOME/loophost/plugins`.
    User,
    /// `/usr/local/lib` and `/usr/lib`.
    System,
    /// The folder `plugins` beside the program.
    BesideProgram,
    /// The program's own folder, where cargo has put it.
    CargoTarget,
}

/// A plugin file that a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The file; not checked in any way.
    pub path: PathBuf,
    /// Why it was looked for there.
    pub origin: Origin,
}

/// A file on the search path that is a plugin, or could be one.
#[derive(Debug)]
pub struct Listed {
    /// The name to type, from the file's name.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Why it was looked for there.
    pub origin: Origin,
    /// What it says of itself, or why it cannot be loaded.
    pub inspected: Result<Inspected, LoadError>,
}

/// What a search path is made of, apart from the flag.
struct Surroundings {
    variable: fn(&str) -> Option<OsString>,
    program: Option<PathBuf>,
}

impl SearchPath {
    /// The search path of this process: `flag` first, which the caller has made absolute, then the folders of the
    /// environment and of the system.
    ///
    /// A program that runs with more rights than its user ignores the environment, and the folders beside it: the user
    /// may have made a link to it elsewhere.
    pub fn new(flag: impl IntoIterator<Item = PathBuf>) -> Self {
        Self::configured(flag, [])
    }

    /// As [`new`](Self::new), with folders that a configuration file names between those of the environment and the
    /// built-in ones.
    pub fn configured(
        flag: impl IntoIterator<Item = PathBuf>,
        configuration: impl IntoIterator<Item = PathBuf>,
    ) -> Self {
        let around = if auxv::is_secure() {
            Surroundings { variable: |_| None, program: None }
        } else {
            Surroundings { variable: |name| env::var_os(name), program: env::current_exe().ok() }
        };
        Self::in_surroundings(flag, configuration, &around)
    }

    fn in_surroundings(
        flag: impl IntoIterator<Item = PathBuf>,
        configuration: impl IntoIterator<Item = PathBuf>,
        around: &Surroundings,
    ) -> Self {
        let mut this = Self { folders: Vec::new() };
        flag.into_iter().for_each(|folder| this.push(folder, Origin::Flag));
        if let Some(list) = (around.variable)("LOOPHOST_PLUGIN_PATH") {
            // Empty entries come of `$UNSET:/folder`, and an empty list is as good as none.
            env::split_paths(&list)
                .filter(|folder| !folder.as_os_str().is_empty())
                .for_each(|folder| this.push(folder, Origin::Environment));
        }
        configuration.into_iter().for_each(|folder| this.push(folder, Origin::Configuration));
        // The rules for XDG variables say that a relative one is invalid and to be ignored.
        let absolute = |name| (around.variable)(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let data = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")));
        if let Some(data) = data {
            this.push(data.join("loophost/plugins"), Origin::User);
        }
        this.push("/usr/local/lib/loophost/plugins".into(), Origin::System);
        this.push("/usr/lib/loophost/plugins".into(), Origin::System);
        if let Some(beside) = around.program.as_deref().and_then(Path::parent) {
            this.push(beside.join("plugins"), Origin::BesideProgram);
            if is_cargo_target(beside) {
                this.push(beside.into(), Origin::CargoTarget);
            }
        }
        this
    }

    /// Adds a folder; an empty or relative one would mean the current folder, whatever that is.
    fn push(&mut self, path: PathBuf, origin: Origin) {
        if !path.is_absolute() {
            tracing::warn!("{origin}: `{}` is skipped: it is not an absolute path", path.display());
        } else if !self.folders.iter().any(|folder| folder.path == path) {
            self.folders.push(SearchFolder { path, origin });
        }
    }

    /// The folders, in their order.
    pub fn folders(&self) -> &[SearchFolder] {
        &self.folders
    }

    /// The file of plugin `name`: `libloophost_NAME.so` or `libNAME.so`, in the first folder that has one. A folder that
    /// cannot be searched, such as that of a `HOME` that is somebody else's, is passed over with a warning; if no other
    /// has the file, it is looked for in there, and loading it says what is wrong.
    ///
    /// # Errors
    /// No folder has one. The error suggests other names, also from `built_in`, which the host knows itself.
    pub fn find(&self, name: &str, built_in: &[&str]) -> Result<Found, NotFound> {
        let files = file_names(name);
        let mut unsearchable = None;
        for folder in &self.folders {
            for path in files.iter().map(|file| folder.path.join(file)) {
                match path.symlink_metadata() {
                    Ok(_) => return Ok(Found { path, origin: folder.origin }),
                    Err(error) if is_missing(&error) => {}
                    Err(error) => {
                        warn_unsearchable(&folder.path, &error);
                        unsearchable.get_or_insert(Found { path, origin: folder.origin });
                        break;
                    }
                }
            }
        }
        unsearchable.ok_or_else(|| NotFound::new(name, self, built_in))
    }

    /// Every plugin in the folders, in the order in which they would be found, read without running any of it, and
    /// the files that could be plugins but cannot be loaded. Libraries that are no plugins are left out.
    pub fn list(&self, trust: &Trust) -> Vec<Listed> {
        let mut listed = Vec::new();
        for folder in &self.folders {
            for path in libraries(&folder.path) {
                let Some(name) = plugin_name(&path) else { continue };
                let inspected = match inspect(&path) {
                    Err(LoadError::Unusable { flaw: Flaw::NoDescriptor, .. }) => continue,
                    Err(error) => Err(error),
                    Ok(inspected) => {
                        inspected.check_trust(trust).and_then(|()| inspected.check()).map(|()| inspected)
                    }
                };
                listed.push(Listed { name, path, origin: folder.origin, inspected });
            }
        }
        listed
    }

    /// The names of all plugins, each once.
    fn names(&self) -> Vec<String> {
        let plugins = self.folders.iter().flat_map(|folder| libraries(&folder.path));
        let mut names: Vec<_> =
            plugins.filter(|path| inspect(path).is_ok()).filter_map(|path| plugin_name(&path)).collect();
        names.sort();
        names.dedup();
        names
    }
}

/// The files that may hold plugin `name`, in their order.
fn file_names(name: &str) -> [String; 2] {
    let name = name.replace('-', "_");
    [format!("libloophost_{name}.so"), format!("lib{name}.so")]
}

/// The name that `find` would find a file by; `None` if its name is not that of a library.
fn plugin_name(path: &Path) -> Option<String> {
    // What is no text cannot be found by a name; it is shown all the same.
    let file_name = path.file_name()?.to_string_lossy();
    let stem = file_name.strip_prefix("lib")?.strip_suffix(".so")?;
    let name = stem.strip_prefix("loophost_").unwrap_or(stem);
    (!name.is_empty()).then(|| name.replace('_', "-"))
}

/// Whether there is nothing by that name.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn warn_unsearchable(folder: &Path, error: &io::Error) {
    tracing::warn!("{}: it cannot be searched for plugins: {error}", folder.display());
}

/// The files in `folder` that are called as libraries are, by the names of the plugins.
fn libraries(folder: &Path) -> Vec<PathBuf> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            if !folder.symlink_metadata().is_err_and(|error| is_missing(&error)) {
                warn_unsearchable(folder, &error);
            }
            return Vec::new();
        }
    };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let mut named: Vec<_> = paths.filter_map(|path| Some((plugin_name(&path)?, path))).collect();
    // Of two with one name, the one that `find` would find comes first.
    named.sort_by_cached_key(|(name, path)| {
        let rank = file_names(name).iter().position(|file| path.ends_with(file));
        (name.clone(), rank.unwrap_or(usize::MAX), path.clone())
    });
    named.into_iter().map(|(_, path)| path).collect()
}

/// Whether cargo puts what it builds into this folder: `target/debug` and its like.
fn is_cargo_target(folder: &Path) -> bool {
    ["deps", ".fingerprint"].iter().all(|name| folder.join(name).is_dir())
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "--plugin-path",
            Self::Environment => "LOOPHOST_PLUGIN_PATH",
            Self::Configuration => "configuration file",
            Self::User => "XDG_DATA_HOME",
            Self::System => "system",
            Self::BesideProgram => "beside the program",
            Self::CargoTarget => "cargo target",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: fn(&str) -> Option<OsString> = |_| None;

    fn described(path: &SearchPath) -> Vec<String> {
        path.folders().iter().map(|folder| format!("{} {}", folder.path.display(), folder.origin)).collect()
    }

    fn search(flag: &[&str], variable: fn(&str) -> Option<OsString>, program: Option<&str>) -> Vec<String> {
        let around = Surroundings { variable, program: program.map(PathBuf::from) };
        described(&SearchPath::in_surroundings(flag.iter().map(PathBuf::from), [], &around))
    }

    #[test]
    fn folders_come_in_the_documented_order() {
        let variable = |name: &str| match name {
            "LOOPHOST_PLUGIN_PATH" => Some("/e1:/e2".into()),
            "XDG_DATA_HOME" => Some("/data".into()),
            "HOME" => Some("/home/me".into()),
            _ => None,
        };
        let expected = [
            "/f --plugin-path",
            "/e1 LOOPHOST_PLUGIN_PATH",
            "/e2 LOOPHOST_PLUGIN_PATH",
            "/data/loophost/plugins XDG_DATA_HOME",
            "/usr/local/lib/loophost/plugins system",
            "/usr/lib/loophost/plugins system",
            "/opt/bin/plugins beside the program",
        ];
        assert_eq!(search(&["/f", "/f"], variable, Some("/opt/bin/loophost")), expected);
    }

    #[test]
    fn neither_empty_nor_relative_entries_nor_an_environment_lead_to_the_current_folder() {
        let system = ["/usr/local/lib/loophost/plugins system", "/usr/lib/loophost/plugins system"];
        let relative = |name: &str| match name {
            "LOOPHOST_PLUGIN_PATH" => Some("::.:plugins:../x:".into()),
            _ => Some("relative".into()),
        };
        assert_eq!(search(&[], relative, None), system);
        assert_eq!(search(&[], NOTHING, None), system);
        assert_eq!(search(&["", "."], NOTHING, None), system);
    }

    #[test]
    fn home_is_the_default_for_user_data() {
        let home = |name: &str| (name == "HOME").then(|| "/home/me".into());
        assert!(search(&[], home, None)[0].starts_with("/home/me/.local/share/loophost/plugins "));
    }

    #[test]
    fn the_folder_of_the_program_counts_where_cargo_has_put_it() {
        // This test lies in `deps`, below the folder that cargo puts programs into.
        let test = env::current_exe().unwrap();
        let target = test.ancestors().nth(2).unwrap();
        let around = Surroundings { variable: NOTHING, program: Some(target.join("loophost")) };
        let path = SearchPath::in_surroundings([], [], &around);
        let last = path.folders().last().unwrap();
        assert_eq!((&*last.path, last.origin), (target, Origin::CargoTarget));
    }

    #[test]
    fn names_and_file_names_go_both_ways() {
        assert_eq!(file_names("io-uring"), ["libloophost_io_uring.so", "libio_uring.so"]);
        for file in file_names("io-uring") {
            assert_eq!(plugin_name(Path::new(&file)).unwrap(), "io-uring");
        }
        for other in ["poll.so", "libpoll.a", "libpoll.so.1", "lib.so", "libloophost_.so"] {
            assert_eq!(plugin_name(Path::new(other)), None);
        }
    }
}
