//! PID 1, namespaces and signs of a container.

use std::{env, fs, path::Path};

use loophost::process::adopts_orphans;
use nix::unistd::getpid;

use super::{finding::Finding, proc_status::ProcStatus};

/// Inode numbers of the first namespaces, include/uapi/linux/nsfs.h.
const FIRST_USER_NAMESPACE: u64 = 0xEFFF_FFFD;
const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

pub(super) fn findings(status: &ProcStatus) -> Vec<Finding> {
    vec![pid(), pid_namespace(status), user_namespace(), hints()]
}

fn pid() -> Finding {
    const ID: &str = "container.pid";
    let pid = getpid();
    match (pid.as_raw(), adopts_orphans()) {
        (1, _) => Finding::note(
            ID,
            "1: this is the init process",
            "`run` reaps the orphans of this namespace; signals without a handler do nothing to PID 1",
        ),
        (_, true) => Finding::ok(ID, format!("{pid}, adopts orphans")),
        _ => Finding::ok(ID, format!("{pid}")),
    }
}

fn pid_namespace(status: &ProcStatus) -> Finding {
    const ID: &str = "container.pid_namespace";
    match namespace("pid") {
        Ok(FIRST_PID_NAMESPACE) => Finding::ok(ID, "the machine's"),
        Ok(_) => {
            let depth = status.field("NSpid").map_or(1, |pids| pids.split_whitespace().count());
            let depth = if depth > 1 { format!(", {depth} levels seen") } else { String::new() };
            Finding::ok(ID, format!("one of its own{depth}"))
        }
        Err(error) => Finding::unknown(ID, error),
    }
}

fn user_namespace() -> Finding {
    const ID: &str = "container.user_namespace";
    match namespace("user") {
        Ok(FIRST_USER_NAMESPACE) => Finding::ok(ID, "the machine's"),
        Ok(_) => {
            let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
            let ranges = map.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
            let ranges: Vec<_> = ranges.collect();
            Finding::note(
                ID,
                format!("one of its own, uid map {}", ranges.join(", ")),
                "files of users who are not in the map belong to nobody (65534) here; root is root of this namespace only",
            )
        }
        Err(error) => Finding::unknown(ID, error),
    }
}

/// The inode of a namespace: `pid:[4026531836]`.
fn namespace(kind: &str) -> Result<u64, String> {
    let link = format!("/proc/self/ns/{kind}");
    let target = fs::read_link(&link).map_err(|error| format!("{link}: {error}"))?;
    let number = target.to_str().and_then(|text| text.split_once('[')?.1.strip_suffix(']')?.parse().ok());
    number.ok_or_else(|| format!("{link} is {}", target.display()))
}

fn hints() -> Finding {
    let files = [("/.dockerenv", "Docker"), ("/run/.containerenv", "Podman")];
    let found = files.iter().filter(|(file, _)| Path::new(file).exists()).map(|(_, name)| (*name).to_owned());
    let variable = env::var("container").ok().filter(|value| !value.is_empty());
    let systemd = fs::read_to_string("/run/systemd/container").ok().map(|text| text.trim().to_owned());
    let kubernetes = env::var_os("KUBERNETES_SERVICE_HOST").map(|_| "Kubernetes".to_owned());
    let mut signs: Vec<_> = found.chain(variable).chain(systemd).chain(kubernetes).collect();
    signs.dedup();
    let value = if signs.is_empty() { "no sign of a container".to_owned() } else { signs.join(", ") };
    Finding::ok("container.kind", value)
}
