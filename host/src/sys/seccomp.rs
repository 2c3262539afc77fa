//! Whether a seccomp filter watches this process.

use std::{fs, sync::OnceLock};

/// Whether there was a filter when this was first asked. If that cannot be read, there may be one.
pub(crate) fn is_filtered() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let seccomp = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
        seccomp.map(str::trim) != Some("0")
    })
}
