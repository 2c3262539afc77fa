//! Limits of the control group: how many tasks, how much memory. See the kernel's admin-guide/cgroup-v2.rst.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::finding::Finding;

pub(super) fn findings() -> Vec<Finding> {
    let groups = match fs::read_to_string("/proc/self/cgroup") {
        Ok(groups) => groups,
        Err(error) => return vec![Finding::unknown("cgroup.path", format!("/proc/self/cgroup: {error}"))],
    };
    vec![pids(&groups), memory(&groups)]
}

/// Where the files of a controller are: in version 2 all in one place, in version 1 each below its own name.
fn folders(groups: &str, controller: &str) -> Option<(PathBuf, PathBuf)> {
    let lines: Vec<Vec<&str>> = groups.lines().map(|line| line.splitn(3, ':').collect()).collect();
    let of = |wanted: &dyn Fn(&str) -> bool| {
        lines.iter().find(|line| line.len() == 3 && wanted(line[1])).map(|line| line[2].to_owned())
    };
    let (top, path) = match of(&|names| names.split(',').any(|name| name == controller)) {
        Some(path) => (Path::new("/sys/fs/cgroup").join(controller), path),
        None => (PathBuf::from("/sys/fs/cgroup"), of(&str::is_empty)?),
    };
    let folder = top.join(path.trim_start_matches('/'));
    // In a container the path may be the one outside.
    Some(if folder.is_dir() { (top, folder) } else { (top.clone(), top) })
}

/// The lowest limit of a group and those above it, and where it is set.
fn lowest(groups: &str, controller: &str, files: &[&str]) -> io::Result<Option<(u64, PathBuf)>> {
    let Some((top, folder)) = folders(groups, controller) else { return Ok(None) };
    let mut lowest = None;
    for group in folder.ancestors().take_while(|group| group.starts_with(&top)) {
        for file in files {
            let limit = match fs::read_to_string(group.join(file)) {
                Ok(text) => text.trim().parse::<u64>().ok(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            // "max" is no number. Version 1 says 2^63, rounded down, for no limit.
            let limit = limit.filter(|limit| *limit < 1 << 62);
            if let Some(limit) = limit
                && lowest.as_ref().is_none_or(|(other, _)| limit < *other)
            {
                lowest = Some((limit, group.to_owned()));
            }
        }
    }
    Ok(lowest)
}

fn pids(groups: &str) -> Finding {
    const ID: &str = "cgroup.pids";
    let (limit, group) = match lowest(groups, "pids", &["pids.max"]) {
        Ok(Some(found)) => found,
        Ok(None) => return Finding::ok(ID, "no limit"),
        Err(error) => return Finding::unknown(ID, error),
    };
    let current: Option<u64> =
        fs::read_to_string(group.join("pids.current")).ok().and_then(|text| text.trim().parse().ok());
    let used = current.map(|current| format!("{current} of ")).unwrap_or_default();
    let value = format!("{used}{limit} tasks");
    match limit.saturating_sub(current.unwrap_or(0)) {
        0..32 => Finding::warning(
            ID,
            value,
            format!("children and threads soon cannot be made; raise pids.max of {}", group.display()),
        ),
        32..256 => Finding::note(ID, value, "threads count too; `batch -j` can reach this"),
        _ => Finding::ok(ID, value),
    }
}

fn memory(groups: &str) -> Finding {
    const ID: &str = "cgroup.memory";
    match lowest(groups, "memory", &["memory.max", "memory.limit_in_bytes"]) {
        Ok(Some((limit, group))) if limit < 64 << 20 => Finding::warning(
            ID,
            format!("at most {} MiB", limit >> 20),
            format!("the kernel kills what needs more; raise the limit of {}", group.display()),
        ),
        Ok(Some((limit, _))) => Finding::ok(ID, format!("at most {} MiB", limit >> 20)),
        Ok(None) => Finding::ok(ID, "no limit"),
        Err(error) => Finding::unknown(ID, error),
    }
}
