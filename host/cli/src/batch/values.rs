//! Where the values come from, one at a time.

use std::{
    ffi::OsString,
    fs::OpenOptions,
    io,
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::Path,
    vec,
};

use loophost::Fd;

use super::lines::Lines;

/// The values of a batch.
pub(super) enum Values {
    /// From the command line.
    Given(vec::IntoIter<OsString>),
    /// From a file or standard input.
    Read {
        /// What separates them, and how far they were read.
        lines: Lines,
        /// What they are read from, for people.
        name: String,
    },
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A value.
    Value(OsString),
    /// A value that no program can be given, because the system limits the length of an argument; its beginning.
    TooLong(OsString),
    /// It must be read first: see [`Values::fill`].
    Pending,
    /// There are no more.
    End,
}

impl Values {
    /// The values of standard input.
    pub(super) fn of_stdin(separator: u8) -> io::Result<Self> {
        let stdin = io::stdin().as_fd().try_clone_to_owned()?;
        Ok(Self::Read { lines: Lines::new(stdin, separator), name: "standard input".to_owned() })
    }

    /// The values of a file. Opening never waits, not even for the first writer of a FIFO: signals are read by the loop,
    /// which does not run yet. A FIFO without a writer is not readable, and not at its end either.
    pub(super) fn of_file(path: &Path, separator: u8) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        Ok(Self::Read { lines: Lines::new(file.into(), separator), name: path.display().to_string() })
    }

    pub(super) fn next(&mut self) -> Next {
        match self {
            Self::Given(values) => values.next().map_or(Next::End, Next::Value),
            Self::Read { lines, .. } => lines.next(),
        }
    }

    /// The descriptor to wait for after [`Next::Pending`].
    pub(super) fn fd(&self) -> Option<Fd> {
        match self {
            Self::Given(_) => None,
            Self::Read { lines, .. } => Some(lines.fd()),
        }
    }

    /// Reads once, and waits for nobody but terminals. Standard input is never made non-blocking, for others may hold it
    /// too.
    ///
    /// # Errors
    /// It cannot be read; the message says what.
    pub(super) fn fill(&mut self) -> Result<(), String> {
        match self {
            Self::Given(_) => Ok(()),
            Self::Read { lines, name } => {
                lines.fill().map_err(|error| format!("reading the values from {name}: {error}"))
            }
        }
    }

    /// How many values there are, if that is known before they are read.
    pub(super) fn total(&self) -> Option<u64> {
        match self {
            Self::Given(values) => Some(values.len() as u64),
            Self::Read { .. } => None,
        }
    }
}
