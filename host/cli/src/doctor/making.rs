//! What loophost makes before and when it starts a program, tried: threads, the descriptors for signals, processes.

use std::io;

use loophost::probe::{self, Probe};
use nix::errno::Errno;

use super::finding::{Finding, Level};

const LIMITS: &str = "see limits.processes and cgroup.pids";

pub(super) fn findings() -> Vec<Finding> {
    let mut findings = vec![
        in_helper(
            "making.thread",
            Level::Problem,
            probe::thread(),
            "nothing can run: the C library makes threads by clone3; in the seccomp profile allow it or refuse it with \
             ENOSYS, which makes the C library use clone",
        ),
        in_helper(
            "making.signalfd",
            Level::Problem,
            probe::signalfd(),
            "nothing can run: signals cannot be received; allow signalfd4 in the seccomp profile",
        ),
        in_helper(
            "making.eventfd",
            Level::Problem,
            probe::eventfd(),
            "nothing can run: threads cannot wake each other; allow eventfd2 in the seccomp profile",
        ),
    ];
    findings.push(wait());
    let child = probe::child();
    let works = child.as_ref().is_ok_and(|child| child.works);
    findings.push(in_helper(
        "making.child",
        Level::Problem,
        child,
        "neither `run` nor `batch` can start anything; allow clone, dup3, sigaltstack and execve in the seccomp profile, \
         or mend what the reason names",
    ));
    if works {
        findings.push(in_helper(
            "making.session",
            Level::Problem,
            probe::session(),
            "`batch` cannot start its jobs, each of which leads a session; allow setsid in the seccomp profile",
        ));
        findings.push(in_helper(
            "making.death_signal",
            Level::Warning,
            probe::death_signal(),
            "what `batch` and `plugin check` have started goes on if loophost is killed, and `run --death-signal` fails; \
             allow prctl(PR_SET_PDEATHSIG) in the seccomp profile",
        ));
    }
    findings
}

/// Where it is only refused there is another way.
fn wait() -> Finding {
    const ID: &str = "making.wait";
    let kills = |probe: &Probe| probe.reason.contains("kills");
    match probe::wait() {
        Ok(probe) if !probe.works && !kills(&probe) => judge(
            ID,
            Level::Warning,
            probe,
            "exits are looked for in /proc a hundred times a second; allow waitid in the seccomp profile",
        ),
        probe => in_helper(
            ID,
            Level::Problem,
            probe,
            "loophost is killed when its first program ends; allow waitid in the seccomp profile, or refuse it with EPERM",
        ),
    }
}

/// Without a process for the trial there is none for a program, or a thread, either.
fn in_helper(id: &'static str, level: Level, probe: io::Result<Probe>, advice: &str) -> Finding {
    match probe {
        Ok(probe) => judge(id, level, probe, advice),
        Err(error) => {
            let advice = format!("`run` can make neither thread nor program; {LIMITS}");
            Finding::problem(id, format!("not tried: no helper process can be made: {error}"), advice)
        }
    }
}

fn judge(id: &'static str, level: Level, probe: Probe, advice: &str) -> Finding {
    if probe.works {
        return Finding::ok(id, probe.reason);
    }
    // No sandbox, but one more than there may be.
    let is_shortage =
        probe.reason.contains(Errno::EAGAIN.desc()) || probe.reason.contains("temporarily unavailable");
    let advice =
        if is_shortage { format!("no process or thread more can be made; {LIMITS}") } else { advice.into() };
    Finding::new(id, level, format!("does not work: {}", probe.reason), advice)
}
