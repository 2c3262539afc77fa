//! What a plugin must not change, as `/proc/self` and the kernel tell it.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs, io,
    path::Path,
};

use loophost_testkit::SystemState;

use crate::{
    process::SignalSet,
    sys::{signal_handler, signal_set},
};

pub(super) fn state() -> io::Result<SystemState> {
    let status = fs::read_to_string("/proc/self/status")?;
    let umask = status.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap_or_default();
    Ok(SystemState {
        descriptors: descriptors()?,
        inheritable: inheritable()?,
        threads: threads()?,
        signals: signals()?,
        working_folder: env::current_dir()?,
        umask: umask.trim().to_owned(),
        children: children()?,
    })
}

/// Without the descriptor that lists them.
fn descriptors() -> io::Result<BTreeMap<i32, String>> {
    let folder = Path::new("/proc/self/fd");
    let open = numbers(folder)?;
    let target = |number: &i32| fs::read_link(folder.join(number.to_string())).ok();
    // The one that listed them is closed by now.
    Ok(open.iter().filter_map(|number| Some((*number, target(number)?.display().to_string()))).collect())
}

/// Those without O_CLOEXEC.
fn inheritable() -> io::Result<BTreeSet<i32>> {
    let folder = Path::new("/proc/self/fdinfo");
    let flags = |number: &i32| {
        let text = fs::read_to_string(folder.join(number.to_string())).ok()?;
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:"))?;
        i32::from_str_radix(flags.trim(), 8).ok()
    };
    let is_inheritable = |number: &i32| flags(number).is_some_and(|flags| flags & libc::O_CLOEXEC == 0);
    Ok(numbers(folder)?.into_iter().filter(is_inheritable).collect())
}

/// Without the kernel's own threads of rings, which end some time after the ring is closed.
fn threads() -> io::Result<BTreeMap<i32, String>> {
    let folder = Path::new("/proc/self/task");
    let read = |number: &i32, file| fs::read_to_string(folder.join(number.to_string()).join(file)).ok();
    let threads = numbers(folder)?;
    let ours = threads.iter().filter(|number| read(number, "stat").is_some_and(|stat| !is_of_kernel(&stat)));
    Ok(ours.filter_map(|number| Some((*number, read(number, "comm")?.trim().to_owned()))).collect())
}

/// Whether `/proc/PID/stat` is that of a thread that the kernel has made for a process: its flags say so.
fn is_of_kernel(stat: &str) -> bool {
    const PF_IO_WORKER: u64 = 0x10;
    // Behind the name, which may have any characters in it, flags are the seventh.
    let flags = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(6)?.parse::<u64>().ok());
    flags.is_some_and(|flags| flags & PF_IO_WORKER != 0)
}

/// Signals 32 and 33 are the C library's own.
fn signals() -> io::Result<BTreeMap<String, String>> {
    let mut signals = BTreeMap::new();
    for signum in (1..=64).filter(|signum| !matches!(signum, 32 | 33)) {
        signals.insert(format!("signal {signum}"), signal_handler::describe(signum)?);
    }
    let blocked = signal_set::blocked()?;
    signals.insert("blocked".into(), format!("{:?}", SignalSet::iter(blocked).collect::<Vec<_>>()));
    Ok(signals)
}

fn children() -> io::Result<Vec<i64>> {
    let mut children = Vec::new();
    for thread in numbers(Path::new("/proc/self/task"))? {
        // Of a kernel without CONFIG_PROC_CHILDREN there is no such file, and of a thread that has ended neither.
        let text = fs::read_to_string(format!("/proc/self/task/{thread}/children")).unwrap_or_default();
        children.extend(text.split_whitespace().filter_map(|pid| pid.parse::<i64>().ok()));
    }
    children.sort_unstable();
    Ok(children)
}

fn numbers(folder: &Path) -> io::Result<Vec<i32>> {
    let names = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    Ok(names.iter().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}
