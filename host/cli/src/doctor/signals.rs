//! The signals that loophost was started with ignored or blocked.

use loophost::process::SignalSet;
use nix::sys::signal::Signal;

use super::finding::Finding;
use crate::sys::startup;

pub(super) fn findings() -> Vec<Finding> {
    let (ignored, blocked) = (startup::ignored_signals(), startup::blocked_signals());
    vec![
        children(ignored, blocked),
        pipe(ignored, blocked),
        set("signals.ignored", ignored),
        set("signals.blocked", blocked),
    ]
}

fn children(ignored: SignalSet, blocked: SignalSet) -> Finding {
    const ID: &str = "signals.chld";
    let (value, advice) = match (ignored.contains(libc::SIGCHLD), blocked.contains(libc::SIGCHLD)) {
        (false, false) => return Finding::ok(ID, "neither ignored nor blocked"),
        (true, _) => (
            "ignored by whoever started loophost",
            "loophost gives it its default action, also for the programs it runs; other programs started from there \
             lose the exit statuses of their children",
        ),
        (false, true) => (
            "blocked by whoever started loophost",
            "loophost does not mind; `run` starts its program with it blocked, as it was",
        ),
    };
    Finding::note(ID, value, advice)
}

fn pipe(ignored: SignalSet, blocked: SignalSet) -> Finding {
    const ID: &str = "signals.pipe";
    if ignored.contains(libc::SIGPIPE) || blocked.contains(libc::SIGPIPE) {
        return Finding::note(
            ID,
            "ignored or blocked by whoever started loophost",
            "`run` passes that on: in a pipeline its program gets an error where others end quietly",
        );
    }
    Finding::ok(ID, "neither ignored nor blocked")
}

fn set(id: &'static str, set: SignalSet) -> Finding {
    let names: Vec<_> = (1..=64).filter(|signum| set.contains(*signum)).map(name).collect();
    Finding::ok(id, if names.is_empty() { "none at start".into() } else { names.join(" ") })
}

fn name(signum: i32) -> String {
    let name = Signal::try_from(signum).map(|signal| signal.as_str().trim_start_matches("SIG").to_owned());
    name.unwrap_or_else(|_| signum.to_string())
}
