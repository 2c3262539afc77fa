//! What a job that has ended leaves to be written.

use tempfile::SpooledTempFile;

use super::record::Record;

pub(super) struct Printed {
    /// What `--json` writes.
    pub(super) record: Record,
    /// What it has written to standard output, if anything.
    pub(super) stdout: Option<SpooledTempFile>,
    /// The same for standard error.
    pub(super) stderr: Option<SpooledTempFile>,
}

impl Printed {
    /// A job that has printed nothing.
    pub(super) fn nothing(record: Record) -> Self {
        Self { record, stdout: None, stderr: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.stdout.is_none() && self.stderr.is_none()
    }

    /// How many temporary files it holds open.
    pub(super) fn files(&self) -> usize {
        [&self.stdout, &self.stderr].into_iter().flatten().filter(|output| output.is_rolled()).count()
    }
}
