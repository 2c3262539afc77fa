//! Very many jobs, and what they leave behind.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
};

use loophost_tests::{eventually, loop_plugins, proc};
use nix::unistd::Pid;
use serde_json::Value;

use crate::{batch, pid_in};

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A static program that fails for every seventh value, or a script where there is no compiler.
fn seventh_fails() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        // It stays for the next time, and appears at once: another run may be using it.
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tiny");
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (source, made) = (folder.path().join("tiny.c"), folder.path().join("tiny"));
        let code = "#include <stdlib.h>\n#include <stdio.h>\n\
                    int main(int c, char **v) { puts(v[1]); return atoi(v[1]) % 7 == 0; }";
        fs::write(&source, code).unwrap();
        let compiled = Command::new("cc").args(["-static", "-O2", "-o"]).arg(&made).arg(&source).status();
        if !compiled.is_ok_and(|status| status.success()) {
            fs::write(&made, "#!/bin/sh\necho $1\n[ $(($1 % 7)) != 0 ]\n").unwrap();
            Command::new("chmod").arg("+x").arg(&made).status().unwrap();
        }
        fs::rename(&made, &program).unwrap();
        program
    })
}

/// What a process holds.
struct Holdings {
    descriptors: usize,
    threads: usize,
    zombies: usize,
}

fn holdings(pid: u32) -> Holdings {
    let count = |folder: &str| fs::read_dir(format!("/proc/{pid}/{folder}")).unwrap().count();
    let children = proc::children(Pid::from_raw(pid.try_into().unwrap()));
    let zombies = children.iter().filter(|child| child.state == 'Z').count();
    Holdings { descriptors: count("fd"), threads: count("task"), zombies }
}

fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Runs `count` jobs beside one that goes on all the time, waits until loophost holds no more than before them, and gives
/// its size after the first tenth and at the end.
fn many(args: &[&str], count: u64) -> [u64; 2] {
    let gate = tempfile::tempdir().unwrap();
    let (opened, open) = (gate.path().join("opened"), gate.path().join("open"));
    // The first value is the gate's: it tells that it runs, and waits.
    let script = "if [ \"$1\" = gate ]; then echo $$ > \"$2\"; until [ -e \"$3\" ]; do sleep 0.05; done; \
                  else exec \"$4\" \"$1\"; fi";
    let mut running = Running(
        batch(&["--json", "-j8"])
            .args(args)
            .args(["--", "sh", "-c", script, "sh", "{}"])
            .args([&opened, &open])
            .arg(seventh_fails())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let pid = running.0.id();
    let mut stdin = running.0.stdin.take().unwrap();
    let mut stderr = running.0.stderr.take().unwrap();
    let printed = thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).unwrap();
        text
    });
    // When the second job has ended, all that belongs to the first one is there.
    stdin.write_all(b"gate\n0\n").unwrap();
    let mut seen = BTreeSet::new();
    let mut records = BufReader::new(running.0.stdout.take().unwrap()).lines();
    let first: Value = serde_json::from_str(&records.next().unwrap().unwrap()).unwrap();
    assert!(first["value"] == "0" && seen.insert(0), "{first}");
    pid_in(&opened);
    let before = holdings(pid);
    let feeder = thread::spawn(move || {
        for n in 1..=count {
            writeln!(stdin, "{n}").unwrap();
        }
        stdin
    });
    let mut size = [0; 2];
    for n in 1..=count {
        let record: Value = serde_json::from_str(&records.next().unwrap().unwrap()).unwrap();
        let value: u64 = record["value"].as_str().unwrap().parse().unwrap();
        assert!(seen.insert(value), "{value} twice");
        assert_eq!(record["returncode"].as_i64(), Some(i64::from(value.is_multiple_of(7))), "{record}");
        if n == count / 10 {
            size[0] = resident_kib(pid);
        }
    }
    size[1] = resident_kib(pid);
    // A job's last descriptor or thread may be on its way out, before as after; a leak would be hundreds of them.
    eventually("the holdings of before", || {
        let after = holdings(pid);
        let is_back = after.descriptors <= before.descriptors && after.threads <= before.threads;
        (is_back && after.zombies == 0).then_some(())
    });
    File::create(&open).unwrap();
    drop(feeder.join().unwrap());
    assert_eq!(running.0.wait().unwrap().code(), Some(123));
    let printed = printed.join().unwrap();
    let printed: BTreeSet<u64> = printed.lines().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(printed, seen, "every output arrives");
    size
}

#[test]
fn ten_thousand_jobs_leave_nothing_behind() {
    // The whole matrix with --full; here some hundreds for each.
    let count = if std::env::var_os("LOOPHOST_FULL").is_some() { 10_000 } else { 500 };
    let files = loop_plugins().into_iter().map(|plugin| plugin.file);
    for policy in [PathBuf::from("default")].into_iter().chain(files) {
        for watcher in ["pidfd", "threaded", "safe", "fast", "multi-loop"] {
            many(&["--policy", policy.to_str().unwrap(), "--watcher", watcher], count);
        }
    }
}

#[test]
fn memory_stays_flat_over_very_many_jobs() {
    let count = if std::env::var_os("LOOPHOST_FULL").is_some() { 200_000 } else { 5_000 };
    let [early, late] = many(&[], count);
    // Freed memory is not given back page by page: a tenth more, and not ten times.
    assert!(late < early + early / 10 + 1024, "from {early} KiB to {late} KiB");
}
