//! Starting and reaping a process: what do the ways cost?
//!
//! `cargo bench -p loophost --bench spawn [-- MIB]`, with so many MiB of touched memory in the parent (0).
//!
//! The program is a static one of 132 bytes that only exits, so what is measured is the spawn. The ways take turns, and
//! each prints microseconds of CPU time of parent and child per process: smallest, median, largest; then the ratio of
//! each to the first in the same turn.

use std::{
    env, fs, os::unix::fs::PermissionsExt, path::Path, process::Command as StdCommand, time::Duration,
};

use loophost::process::{Command, Way, force_way, reap, spawn};
use nix::{
    sys::{
        resource::{Usage, UsageWho, getrusage},
        time::TimeValLike,
        wait::{Id, WaitPidFlag, waitid},
    },
    unistd::Pid,
};

const TURNS: usize = 20;
const PROCESSES: u32 = 500;

/// A way to start a process and to wait for its end.
type Start = fn(&Path);

const WAYS: [(&str, Start); 5] = [
    ("clone3", |path| ours(Way::Clone3, Command::new(path))),
    ("clone", |path| ours(Way::Clone, Command::new(path))),
    ("posix_spawn", |path| ours(Way::Posix, Command::new(path))),
    ("std::process", |path| assert!(StdCommand::new(path).status().expect("it starts").success())),
    ("clone3, other group", |path| ours(Way::Clone3, Command::new(path).gid(own_group()))),
];

fn main() {
    let mib = env::args().filter_map(|argument| argument.parse::<usize>().ok()).next().unwrap_or(0);
    let heap = vec![1_u8; mib << 20];
    let folder = tempfile::tempdir().expect("a folder can be made");
    let program = folder.path().join("exits");
    fs::write(&program, executable()).expect("the program is written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it may be executed");

    // A child with other rights is forked: a few do.
    let processes = |index: usize| if index == 4 { PROCESSES / 10 } else { PROCESSES };
    println!("µs of CPU per process, {mib} MiB of memory, {TURNS} turns of {PROCESSES}: min / median / max");
    let mut times = [const { Vec::new() }; WAYS.len()];
    for turn in 0..TURNS + 1 {
        for (index, (_, start)) in WAYS.iter().enumerate() {
            let before = cpu_time();
            (0..processes(index)).for_each(|_| start(&program));
            let time = (cpu_time() - before).as_nanos() as f64 / 1000.0 / f64::from(processes(index));
            // The first turn warms up.
            if turn > 0 {
                times[index].push(time);
            }
        }
    }
    for ((name, _), mine) in WAYS.iter().zip(&times) {
        let ratios = mine.iter().zip(&times[0]).map(|(mine, first)| mine / first).collect();
        println!("  {name:20} {}    ratio {}", spread(mine.clone(), 1), spread(ratios, 2));
    }
    std::hint::black_box(heap);
}

fn ours(way: Way, command: Command) {
    force_way(Some(way));
    let child = spawn(command).expect("it starts");
    let pid = Id::Pid(Pid::from_raw(child.pid() as i32));
    waitid(pid, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).expect("it is our child");
    reap(child.pid()).expect("it can be reaped");
    assert_eq!(child.returncode(), Some(0));
}

fn own_group() -> u32 {
    nix::unistd::getgid().as_raw()
}

/// Of this process and of the children that it has reaped.
fn cpu_time() -> Duration {
    let sum = |usage: Usage| (usage.user_time() + usage.system_time()).num_microseconds();
    let of = |who| sum(getrusage(who).expect("the number is right"));
    Duration::from_micros((of(UsageWho::RUSAGE_SELF) + of(UsageWho::RUSAGE_CHILDREN)) as u64)
}

/// An ELF file with one segment, which holds all of it and begins with the file's header.
fn executable() -> Vec<u8> {
    const HEADERS: u64 = 64 + 56;
    const ADDRESS: u64 = 0x40_0000;
    let (machine, code): (u16, [u8; 12]) = if cfg!(target_arch = "x86_64") {
        // xor edi, edi; mov eax, 231 (exit_group); syscall; nops
        (62, [0x31, 0xff, 0xb8, 231, 0, 0, 0, 0x0f, 0x05, 0x90, 0x90, 0x90])
    } else {
        // mov x0, #0; mov x8, #94 (exit_group); svc #0
        (183, [0x00, 0x00, 0x80, 0xd2, 0xc8, 0x0b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4])
    };
    let size = HEADERS + code.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let halves =
        |file: &mut Vec<u8>, values: &[u16]| values.iter().for_each(|v| file.extend(v.to_le_bytes()));
    let words = |file: &mut Vec<u8>, values: &[u32]| values.iter().for_each(|v| file.extend(v.to_le_bytes()));
    let longs = |file: &mut Vec<u8>, values: &[u64]| values.iter().for_each(|v| file.extend(v.to_le_bytes()));
    // Type (executable), machine, version; entry, program headers, section headers; flags; sizes and counts.
    halves(&mut file, &[2, machine]);
    words(&mut file, &[1]);
    longs(&mut file, &[ADDRESS + HEADERS, 64, 0]);
    words(&mut file, &[0]);
    halves(&mut file, &[64, 56, 1, 0, 0, 0]);
    // Type (load), flags (read, execute); offset, address twice, size in file and memory, alignment.
    words(&mut file, &[1, 5]);
    longs(&mut file, &[0, ADDRESS, ADDRESS, size, size, 0x1_0000]);
    file.extend(code);
    file
}

fn spread(mut values: Vec<f64>, digits: usize) -> String {
    values.sort_by(f64::total_cmp);
    let (first, last) = (values[0], values[values.len() - 1]);
    let median = (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0;
    format!("{first:.digits$} / {median:.digits$} / {last:.digits$}")
}
