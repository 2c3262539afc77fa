//! Kernel, C library and clock.

use std::{fs, path::Path};

use nix::{
    sys::utsname::uname,
    time::{ClockId, clock_getres},
};

use super::finding::Finding;
use crate::sys::libc_version;

pub(super) fn findings() -> Vec<Finding> {
    vec![kernel(), libc_version(), proc_mounted(), clock()]
}

fn kernel() -> Finding {
    const ID: &str = "kernel.version";
    let name = match uname() {
        Ok(name) => name,
        Err(errno) => return Finding::unknown(ID, errno.desc()),
    };
    let shown = |part: &std::ffi::OsStr| part.display().to_string();
    let release = shown(name.release());
    let value = format!("{} {release} {}", shown(name.sysname()), shown(name.machine()));
    match version(&release) {
        Some(version) if version < (5, 3) => Finding::note(
            ID,
            value,
            "pidfds come with Linux 5.3; before it each child is watched by a thread",
        ),
        _ => Finding::ok(ID, value),
    }
}

/// The first two numbers of `6.18.44-fc`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn libc_version() -> Finding {
    Finding::ok("kernel.libc", libc_version::get().unwrap_or_else(|| "not glibc".into()))
}

fn proc_mounted() -> Finding {
    const ID: &str = "kernel.proc";
    if Path::new("/proc/self").exists() {
        return Finding::ok(ID, "/proc is mounted");
    }
    let value = match fs::metadata("/proc/self") {
        Err(error) => format!("/proc cannot be read: {error}"),
        Ok(_) => "/proc is mounted".into(),
    };
    Finding::warning(
        ID,
        value,
        "mount it: without it a good part of this report is unknown, and some checks of plugins are weaker",
    )
}

fn clock() -> Finding {
    const ID: &str = "kernel.clock";
    let resolution = match clock_getres(ClockId::CLOCK_MONOTONIC) {
        Ok(resolution) => resolution.tv_sec() * 1_000_000_000 + resolution.tv_nsec(),
        Err(errno) => return Finding::problem(ID, errno.desc(), "timers need CLOCK_MONOTONIC"),
    };
    let file = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let source = fs::read_to_string(file).ok().map(|name| name.trim().to_owned());
    let value = format!(
        "monotonic, resolution {resolution} ns{}",
        source.as_ref().map(|name| format!(", source {name}")).unwrap_or_default()
    );
    match source.as_deref() {
        Some("hpet" | "acpi_pm" | "jiffies" | "refined-jiffies") => {
            Finding::note(ID, value, "reading this clock is a slow system call; each turn of a loop does it")
        }
        _ => Finding::ok(ID, value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_all_sorts() {
        assert_eq!(version("6.18.44-fc-v595"), Some((6, 18)));
        assert_eq!(version("5.3-rc1"), Some((5, 3)));
        assert_eq!(version("unknown"), None);
    }
}
