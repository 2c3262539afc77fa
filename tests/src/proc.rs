//! What `/proc` says of a process.

use std::fs;

use nix::unistd::Pid;

/// A few fields of `/proc/PID/stat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The process.
    pub pid: Pid,
    /// `R` running, `S` sleeping, `T` stopped, `Z` zombie, …
    pub state: char,
    /// Its parent.
    pub parent: Pid,
    /// Its process group.
    pub group: Pid,
    /// Its session.
    pub session: Pid,
}

/// What the kernel knows of a process; `None` if it is gone.
pub fn stat(pid: Pid) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may contain anything, parentheses too.
    let (_, rest) = text.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    let mut next = || Some(Pid::from_raw(fields.next()?.parse().ok()?));
    Some(Stat { pid, state, parent: next()?, group: next()?, session: next()? })
}

/// All processes that can be seen.
///
/// # Panics
/// There is no `/proc`.
pub fn all() -> Vec<Stat> {
    let names = fs::read_dir("/proc").expect("there is a /proc").flatten();
    let pids = names.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| stat(Pid::from_raw(pid))).collect()
}

/// The children of a process.
pub fn children(parent: Pid) -> Vec<Stat> {
    all().into_iter().filter(|stat| stat.parent == parent).collect()
}
