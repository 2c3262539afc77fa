//! The program `witness` from the side of a test: what it has written.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use nix::unistd::Pid;
use tempfile::TempDir;

use crate::{
    eventually::{eventually, eventually_or},
    lines,
};

/// The file that a witness writes to.
#[derive(Debug)]
pub struct Testimony {
    folder: TempDir,
}

impl Testimony {
    /// An empty one.
    ///
    /// # Panics
    /// There is no place for it.
    pub fn new() -> Self {
        Self { folder: TempDir::new().expect("a folder for the file") }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("testimony")
    }

    /// The command line of a witness, whose program is given, that ends as `ends` say (`TERM=3`).
    pub fn command(&self, program: &str, ends: &[&str]) -> Vec<OsString> {
        let mut command = vec![program.into(), self.file().into()];
        command.extend(ends.iter().map(Into::into));
        command
    }

    /// The same for a shell.
    pub fn shell_command(&self, program: &str, ends: &[&str]) -> String {
        format!("{program} {} {}", self.file().display(), ends.join(" "))
    }

    /// What was written so far, without the first line.
    pub fn signals(&self) -> Vec<String> {
        read(&self.file()).into_iter().skip(1).collect()
    }

    /// Waits until the witness is ready, and gives its pid.
    ///
    /// # Panics
    /// It never is.
    pub fn ready(&self) -> Pid {
        eventually("a witness that is ready", || {
            let first = read(&self.file()).into_iter().next()?;
            let pid = first.strip_prefix("ready ").expect("the first line");
            Some(Pid::from_raw(pid.parse().expect("a pid")))
        })
    }

    /// Waits until the signals are these, no more and no less.
    ///
    /// # Panics
    /// They are others, or never come.
    pub fn expect(&self, expected: &[&str]) {
        let all_came = || {
            let signals = self.signals();
            let so_far = expected.get(..signals.len());
            assert_eq!(so_far.unwrap_or(expected), signals, "expected in the end: {expected:?}");
            (signals.len() == expected.len()).then_some(())
        };
        eventually_or(all_came, || format!("{expected:?} instead of {:?}", self.signals()));
    }
}

impl Default for Testimony {
    fn default() -> Self {
        Self::new()
    }
}

fn read(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    lines(&text).map(str::to_owned).collect()
}
