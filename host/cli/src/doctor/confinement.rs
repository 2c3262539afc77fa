//! What this process may do: seccomp, no_new_privs, capabilities, more rights than its user.

use loophost::environment;
use nix::unistd::Uid;

use super::{finding::Finding, proc_status::ProcStatus};

/// Those that matter to a program that starts, signals and limits others; numbers as in linux/capability.h.
const CAPABILITIES: [(u32, &str); 8] = [
    (1, "DAC_OVERRIDE"),
    (5, "KILL"),
    (6, "SETGID"),
    (7, "SETUID"),
    (10, "NET_BIND_SERVICE"),
    (21, "SYS_ADMIN"),
    (23, "SYS_NICE"),
    (24, "SYS_RESOURCE"),
];

pub(super) fn findings(status: &ProcStatus) -> Vec<Finding> {
    vec![user(), seccomp(status), no_new_privs(status), capabilities(status)]
}

fn user() -> Finding {
    const ID: &str = "rights.user";
    let value = format!("uid {}, effective {}", Uid::current(), Uid::effective());
    if environment::has_more_rights_than_its_user() {
        return Finding::warning(
            ID,
            format!("{value}, with more rights than the user who started it"),
            "variables and the user's files are ignored, flags that name code are refused; remove the set-ID bit or the \
             file capabilities of loophost unless that is what you want",
        );
    }
    Finding::ok(ID, value)
}

fn seccomp(status: &ProcStatus) -> Finding {
    const ID: &str = "rights.seccomp";
    match status.field("Seccomp") {
        Ok("0") => Finding::ok(ID, "no filter"),
        Ok("1") => {
            Finding::problem(ID, "strict mode", "only read, write and exit are allowed; nothing can run")
        }
        Ok("2") => {
            let filters = status.field("Seccomp_filters").map(|count| format!("{count} "));
            let value = format!("filtered ({}in force)", filters.unwrap_or_default());
            Finding::note(
                ID,
                value,
                "some system calls may fail or kill; the sections events and making tell which matter",
            )
        }
        Ok(other) => Finding::unknown(ID, format!("mode {other}")),
        Err(error) => Finding::unknown(ID, error),
    }
}

fn no_new_privs(status: &ProcStatus) -> Finding {
    const ID: &str = "rights.no_new_privs";
    match status.field("NoNewPrivs") {
        Ok("1") => Finding::note(ID, "set", "set-user-ID programs such as sudo and ping get no rights here"),
        Ok(_) => Finding::ok(ID, "not set"),
        Err(error) => Finding::unknown(ID, error),
    }
}

fn capabilities(status: &ProcStatus) -> Finding {
    const ID: &str = "rights.capabilities";
    let bits = status.field("CapEff").and_then(|hex| {
        u64::from_str_radix(hex, 16).map_err(|_| "/proc/self/status has no number in CapEff".into())
    });
    match bits {
        Ok(0) => Finding::ok(ID, "none"),
        Ok(bits) => {
            let held = CAPABILITIES.iter().filter(|(number, _)| bits >> number & 1 != 0);
            let held: Vec<_> = held.map(|(_, name)| *name).collect();
            let rest = bits.count_ones() as usize - held.len();
            let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
            Finding::ok(ID, format!("{}{rest}", held.join(" ")).trim().to_owned())
        }
        Err(error) => Finding::unknown(ID, error),
    }
}
