//! The process groups that live.

use std::{collections::HashSet, fs};

/// The groups that have a process which is no zombie; `None` where that cannot be seen. One look at all processes, only
/// for jobs that were told to end and have left something behind: the kernel tells nobody when a group is empty.
pub(super) fn living() -> Option<HashSet<i64>> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let stats = processes.filter(|entry| entry.file_name().as_encoded_bytes()[0].is_ascii_digit());
    let groups: HashSet<_> =
        stats.filter_map(|entry| group(&fs::read_to_string(entry.path().join("stat")).ok()?)).collect();
    // Not even this process: then it is not /proc.
    (!groups.is_empty()).then_some(groups)
}

/// The group of a process, from its line in /proc/PID/stat; `None` for a zombie.
fn group(stat: &str) -> Option<i64> {
    // The name in parentheses may contain anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next().filter(|state| !matches!(*state, "Z" | "X"));
    let (_parent, group) = (fields.next()?, fields.next()?);
    state.and_then(|_| group.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_group_lives() {
        let ours = nix::unistd::getpgrp().as_raw().into();
        assert!(living().unwrap().contains(&ours));
    }

    #[test]
    fn zombies_do_not_count() {
        assert_eq!(group("12 (a) b) S 1 34 56 0 -1"), Some(34));
        assert_eq!(group("12 (a) b) Z 1 34 56 0 -1"), None);
        assert_eq!(group(""), None);
    }
}
