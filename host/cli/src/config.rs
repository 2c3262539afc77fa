//! The configuration files: which there are, and what they say.
//!
//! The user's is that of `--config`, else `$XDG_CONFIG_HOME/loophost/config.toml`; the system's is
//! `/etc/loophost/config.toml`. They name code to be run, so they must pass the same rules of owner and mode as a plugin
//! file. Nothing is ever read from the current folder.

mod error;
mod file;
mod key;

use std::{
    env, fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use loophost::{environment, plugin::Trust};

pub(crate) use error::{Problem, ReadError};
pub(crate) use file::File;

/// The system's file.
pub(crate) const SYSTEM: &str = "/etc/loophost/config.toml";

/// More than anybody writes: a file that never ends must not fill the memory.
const MOST_BYTES: u64 = 1 << 20;

/// The user's file and the system's, those that there are, the stronger first.
///
/// # Errors
/// A file is there and cannot be used, or the one of the flag is not there.
pub(crate) fn read(flag: Option<&Path>, trust: &Trust) -> Result<Vec<File>, ReadError> {
    let users = match flag {
        Some(path) => Some(file_at(path, trust)?),
        None => match users_path() {
            Some(path) => optional_file_at(&path, trust)?,
            None => None,
        },
    };
    let system = optional_file_at(Path::new(SYSTEM), trust)?;
    Ok(users.into_iter().chain(system).collect())
}

/// Where the user's file is if it is there. A program with more rights than its user has none.
pub(crate) fn users_path() -> Option<PathBuf> {
    if environment::has_more_rights_than_its_user() {
        return None;
    }
    // The rules for XDG variables say that a relative one is invalid and to be ignored.
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
    Some(folder.join("loophost/config.toml"))
}

/// The file, unless it is not there. A folder that one may not look into is not there either: in a container HOME is often
/// that of root, whoever the user is.
fn optional_file_at(path: &Path, trust: &Trust) -> Result<Option<File>, ReadError> {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    match path.symlink_metadata() {
        Err(error) if matches!(error.kind(), NotFound | NotADirectory | PermissionDenied) => Ok(None),
        _ => file_at(path, trust).map(Some),
    }
}

fn file_at(path: &Path, trust: &Trust) -> Result<File, ReadError> {
    let failed = |problem| ReadError { path: path.into(), problem };
    let unreadable = |error| failed(Problem::Io(error));
    // Before trust, which would say of a file that is not there that nobody knows whose it is.
    let found = fs::metadata(path).map_err(unreadable)?;
    // Nor would it be wise to change who may write to a device.
    if !found.is_file() {
        return Err(failed(Problem::NoFile));
    }
    let canonical = trust.resolve(path).map_err(|distrust| failed(Problem::Distrusted(distrust)))?;
    // Neither a pipe nor a terminal makes it wait.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(&canonical).map_err(unreadable)?;
    trust.check_open(&canonical, &file).map_err(|distrust| failed(Problem::Distrusted(distrust)))?;
    let opened = file.metadata().map_err(unreadable)?;
    if !opened.is_file() {
        return Err(failed(Problem::NoFile));
    }
    if opened.len() > MOST_BYTES {
        return Err(failed(Problem::TooLarge));
    }
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, MOST_BYTES), &mut bytes).map_err(unreadable)?;
    // As it was written, for messages; absolute, for it may be shown to somebody who is elsewhere.
    let shown = std::path::absolute(path).unwrap_or_else(|_| path.into());
    File::parse(&shown, &bytes)
}
