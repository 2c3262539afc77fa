//! Limits: descriptors, processes, threads, memory.

use std::fs;

use nix::{
    sys::resource::{RLIM_INFINITY, Resource, getrlimit},
    unistd::Uid,
};

use super::finding::Finding;

pub(super) fn findings() -> Vec<Finding> {
    vec![
        descriptors(),
        processes(),
        address_space(),
        number("limits.pid_max", "/proc/sys/kernel/pid_max"),
        number("limits.threads_max", "/proc/sys/kernel/threads-max"),
    ]
}

fn descriptors() -> Finding {
    const ID: &str = "limits.descriptors";
    let (soft, hard) = match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok(limits) => limits,
        Err(errno) => return Finding::unknown(ID, errno.desc()),
    };
    let value = format!("{} soft, {} hard", shown(soft), shown(hard));
    // Reading the list needs one itself.
    match fs::read_dir("/proc/self/fd").map(Iterator::count) {
        Err(error) if error.raw_os_error() == Some(libc::EMFILE) => Finding::problem(
            ID,
            format!("{value}, all of them in use"),
            "nothing can be opened; raise the limit (ulimit -n), or close what was inherited",
        ),
        Ok(used) if soft.saturating_sub(used as u64) < 16 => Finding::problem(
            ID,
            format!("{value}, {used} in use"),
            "too few are left for a loop and a child; raise the limit (ulimit -n), or close what was inherited",
        ),
        _ if soft < 256 => Finding::warning(
            ID,
            value,
            "each watched child needs one, its output two; raise the limit (ulimit -n)",
        ),
        _ => Finding::ok(ID, value),
    }
}

fn processes() -> Finding {
    const ID: &str = "limits.processes";
    match getrlimit(Resource::RLIMIT_NPROC) {
        Err(errno) => Finding::unknown(ID, errno.desc()),
        Ok((soft, hard)) => {
            let value = format!("{} soft, {} hard", shown(soft), shown(hard));
            if soft < 64 && !Uid::effective().is_root() {
                let advice = "it counts all processes and threads of the user; raise the limit (ulimit -u)";
                return Finding::warning(ID, value, advice);
            }
            Finding::ok(ID, value)
        }
    }
}

fn address_space() -> Finding {
    const ID: &str = "limits.address_space";
    const LITTLE: u64 = 128 << 20;
    match getrlimit(Resource::RLIMIT_AS) {
        Err(errno) => Finding::unknown(ID, errno.desc()),
        Ok((soft, hard)) => {
            let value = format!("{} soft, {} hard", shown(soft), shown(hard));
            if soft < LITTLE {
                let advice = "plugins, threads (up to 2 MiB each) and the programs themselves may find no memory; raise the \
                              limit (ulimit -v)";
                return Finding::warning(ID, value, advice);
            }
            Finding::ok(ID, value)
        }
    }
}

fn number(id: &'static str, file: &str) -> Finding {
    match fs::read_to_string(file) {
        Ok(text) => Finding::ok(id, text.trim()),
        Err(error) => Finding::unknown(id, format!("{file}: {error}")),
    }
}

fn shown(limit: u64) -> String {
    if limit == RLIM_INFINITY { "unlimited".into() } else { limit.to_string() }
}
