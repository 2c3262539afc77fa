//! Why a program was not started.

use std::{
    error,
    ffi::OsString,
    fmt, io,
    path::{Path, PathBuf},
};

use crate::{Error, ErrorCode, advice};

/// Why a program was not started. No process is left behind.
#[derive(Debug)]
#[non_exhaustive]
pub enum SpawnError {
    /// The command itself is wrong: an empty name, a NUL byte.
    InvalidArgument {
        /// What is wrong with it.
        what: String,
    },
    /// There is no such program.
    NotFound {
        /// The name as it was given.
        program: OsString,
        /// The folders of `PATH` it was looked for in; empty for a name with a slash.
        searched: Vec<PathBuf>,
    },
    /// There is such a file, and it cannot be executed.
    NotExecutable {
        /// The file.
        path: PathBuf,
        /// The interpreter that the file asks for and that is missing or cannot be executed.
        interpreter: Option<PathBuf>,
        /// `EACCES`, `EISDIR`, `ENOEXEC`, …
        source: io::Error,
    },
    /// The working folder cannot be used.
    BadWorkingFolder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system could not do it: `EMFILE`, `EAGAIN`, `ENOMEM`, …
    Os {
        /// What was being done.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// This system has no way to start such a process; nothing was started.
    NotSupported {
        /// What it lacks.
        what: &'static str,
    },
    /// The child watcher could not take the child: not active (nothing was spawned), or it and its fallbacks failed (the
    /// child was killed).
    Watcher(Error),
}

/// The three kinds that a shell gives different exit statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpawnErrorKind {
    /// No such program: 127.
    NotFound,
    /// It cannot be executed: 126.
    NotExecutable,
    /// The starter failed: 125.
    Failed,
}

impl SpawnError {
    /// Which of the three kinds it is; the numbers are the command line's to give.
    pub fn kind(&self) -> SpawnErrorKind {
        match self {
            Self::NotFound { .. } => SpawnErrorKind::NotFound,
            Self::NotExecutable { .. } => SpawnErrorKind::NotExecutable,
            _ => SpawnErrorKind::Failed,
        }
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidArgument { what } => f.write_str(what),
            Self::NotFound { program, searched } if searched.is_empty() => {
                write!(f, "{}: no such file", program.display())
            }
            Self::NotFound { program, searched } => {
                write!(f, "{}: not found in PATH (", program.display())?;
                for (n, folder) in searched.iter().enumerate() {
                    write!(f, "{}{}", if n == 0 { "" } else { ":" }, folder.display())?;
                }
                f.write_str(")")
            }
            Self::NotExecutable { path, interpreter: Some(interpreter), source } => write!(
                f,
                "{}: its interpreter {} cannot be executed: {source}",
                path.display(),
                visible(interpreter)
            ),
            Self::NotExecutable { path, interpreter: None, source } => {
                write!(f, "{}: cannot be executed: {source}", path.display())
            }
            Self::BadWorkingFolder { path, source } => {
                write!(f, "the working folder {} cannot be used: {source}", path.display())
            }
            Self::NotSupported { what } => f.write_str(what),
            Self::Os { what, source } => {
                write!(f, "{}: {source}", advice::explained_shortage(what, source))
            }
            Self::Watcher(error) if error.code() == ErrorCode::INACTIVE => {
                write!(f, "nothing was started: {error}")
            }
            Self::Watcher(error) => write!(f, "no child watcher could take the child: {error}"),
        }
    }
}

/// A path that was read from a file, with control characters as in Rust's literals: the `\r` of a script with CRLF
/// would be the reason and not be seen.
fn visible(path: &Path) -> String {
    let mut text = String::new();
    for character in path.display().to_string().chars() {
        if character.is_control() {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    text
}

impl error::Error for SpawnError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::NotExecutable { source, .. }
            | Self::BadWorkingFolder { source, .. }
            | Self::Os { source, .. } => Some(source),
            Self::Watcher(error) => Some(error),
            Self::InvalidArgument { .. } | Self::NotFound { .. } | Self::NotSupported { .. } => None,
        }
    }
}
