//! `/proc/self/status`, see proc_pid_status(5).

use std::fs;

/// Empty if there is no `/proc`.
pub(super) struct ProcStatus {
    text: Result<String, String>,
}

impl ProcStatus {
    pub(super) fn read() -> Self {
        Self { text: fs::read_to_string("/proc/self/status").map_err(|error| error.to_string()) }
    }

    /// The value of a line.
    ///
    /// # Errors
    /// Why there is none, for people.
    pub(super) fn field(&self, name: &str) -> Result<&str, String> {
        let text = self.text.as_ref().map_err(|error| format!("/proc/self/status: {error}"))?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.map(str::trim).ok_or_else(|| format!("/proc/self/status has no line {name}"))
    }
}
