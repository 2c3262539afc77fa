//! How one can wait: pidfd, epoll, io_uring. Each is tried in a forked helper.

use std::fs;

use loophost::{
    probe::{self, Probe},
    process::PidfdProbe,
};
use nix::errno::Errno;

use super::finding::Finding;

pub(super) fn findings() -> Vec<Finding> {
    let ids = ["events.pidfd", "events.epoll", "events.io_uring"];
    match (probe::epoll(), probe::io_uring()) {
        (Ok(of_epoll), Ok(of_io_uring)) => vec![pidfd(), epoll(of_epoll), io_uring(of_io_uring)],
        (Err(error), _) | (_, Err(error)) => ids.map(|id| not_tried(id, &error)).into(),
    }
}

/// That no process can be made says nothing of these, and a lot of everything else.
fn not_tried(id: &'static str, error: &std::io::Error) -> Finding {
    Finding::warning(
        id,
        format!("not tried: no helper process can be made: {error}"),
        "`run` cannot make its program either; see the section making",
    )
}

/// What to do, unless it is only that no descriptor is left.
fn unless_full(reason: &str, advice: String) -> String {
    if reason.contains(Errno::EMFILE.desc()) {
        "no descriptor is left; see limits.descriptors".into()
    } else {
        advice
    }
}

fn pidfd() -> Finding {
    let probe = PidfdProbe::full();
    if probe.works {
        return Finding::ok("events.pidfd", probe.reason);
    }
    let advice = "a thread for each child watches it instead; allow pidfd_open, pidfd_send_signal and waitid in the \
                  container's seccomp profile, or use Linux 5.3 or newer";
    let advice = unless_full(&probe.reason, advice.into());
    Finding::note("events.pidfd", format!("does not work: {}", probe.reason), advice)
}

fn epoll(probe: Probe) -> Finding {
    if probe.works {
        return Finding::ok("events.epoll", probe.reason);
    }
    let advice = "the built-in loop cannot be made: allow epoll and eventfd2, or use the policy `poll`";
    let advice = unless_full(&probe.reason, advice.into());
    Finding::problem("events.epoll", format!("does not work: {}", probe.reason), advice)
}

fn io_uring(probe: Probe) -> Finding {
    if probe.works {
        return Finding::ok("events.io_uring", probe.reason);
    }
    let disabled = fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
    let (why, advice) = match disabled.as_deref().map(str::trim) {
        Ok("2") => (", kernel.io_uring_disabled=2", "`sysctl kernel.io_uring_disabled=0` would allow it"),
        Ok("1") => (
            ", kernel.io_uring_disabled=1",
            "only CAP_SYS_ADMIN and the group in kernel.io_uring_group may use it; `sysctl kernel.io_uring_disabled=0` \
             would allow it",
        ),
        _ => ("", "most container runtimes forbid it; allow io_uring_setup in the seccomp profile"),
    };
    let advice = format!("nothing built in needs it, only policies on io_uring do; {advice}");
    let advice = unless_full(&probe.reason, advice);
    Finding::note("events.io_uring", format!("does not work: {}{why}", probe.reason), advice)
}
