//! Why a configuration file cannot be used.

use std::{error, fmt, io, path::PathBuf};

use loophost::plugin::Distrust;

/// Why a configuration file cannot be used. Its `Display` begins with the file and, if it is about a line, line and
/// column: `FILE:3:8: …`, as compilers write it.
#[derive(Debug)]
pub(crate) struct ReadError {
    pub(crate) path: PathBuf,
    pub(crate) problem: Problem,
}

#[derive(Debug)]
pub(crate) enum Problem {
    Io(io::Error),
    /// It is a folder, a pipe, a device.
    NoFile,
    TooLarge,
    /// Others may change it.
    Distrusted(Distrust),
    /// Something in it is wrong.
    Content {
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        message: String,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display())?;
        match &self.problem {
            Problem::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                f.write_str(" there is no such configuration file; check the path")
            }
            Problem::Io(error) => write!(f, " the configuration file cannot be read: {error}"),
            Problem::NoFile => f.write_str(" it is no regular file, so it cannot be a configuration file"),
            Problem::TooLarge => {
                f.write_str(" it is larger than a megabyte, so it can be no configuration file of loophost")
            }
            Problem::Distrusted(distrust) => {
                write!(f, " it names code to be run, and so it is not read: {distrust}")
            }
            Problem::Content { line, column, message } => write!(f, "{line}:{column}: {message}"),
        }
    }
}

impl error::Error for ReadError {}
