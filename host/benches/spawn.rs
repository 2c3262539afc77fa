//! Starting and reaping a process: what do the ways cost?
//!
//! `cargo bench -p loophost --bench spawn [-- MIB]`, with so many MiB of touched memory in the parent (0).
//!
//! The program is a static one of 132 bytes that only exits, so what is measured is the spawn. The ways take turns, and
//! each prints microseconds of CPU time of parent and child per process: smallest, median, largest; then the ratio of
//! each to the first in the same turn.

mod tiny_program;

use std::{env, path::Path, process::Command as StdCommand, time::Duration};

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
    tiny_program::write(&program, tiny_program::EXITS);

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

fn spread(mut values: Vec<f64>, digits: usize) -> String {
    values.sort_by(f64::total_cmp);
    let (first, last) = (values[0], values[values.len() - 1]);
    let median = (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0;
    format!("{first:.digits$} / {median:.digits$} / {last:.digits$}")
}
