//! What to do about a system call that has failed, where its number tells more than the system's own words.

use std::io;

use nix::errno::Errno;

/// What was being done, with the way out: for calls that need no rights, so that only a sandbox or a shortage can be why.
pub(crate) fn explained(what: &str, error: &io::Error) -> String {
    with(what, number(error).and_then(|errno| of_shortage(errno).or(of_sandbox(errno))))
}

/// The same for calls that may need rights.
pub(crate) fn explained_shortage(what: &str, error: &io::Error) -> String {
    with(what, number(error).and_then(of_shortage))
}

fn with(what: &str, advice: Option<&str>) -> String {
    advice.map_or_else(|| what.to_owned(), |advice| format!("{what} ({advice})"))
}

fn number(error: &io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw)
}

fn of_shortage(errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::EMFILE => Some("the limit of descriptors is reached; raise it with ulimit -n"),
        Errno::EAGAIN => Some("the limit of processes is reached: ulimit -u, or the cgroup's pids.max"),
        _ => None,
    }
}

fn of_sandbox(errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::EPERM | Errno::ENOSYS => Some("a sandbox forbids it; `loophost doctor` shows what else"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_for_those_who_can_take_it() {
        let explain = |errno| explained("x", &io::Error::from_raw_os_error(errno));
        assert!(explain(libc::EPERM).contains("doctor") && explain(libc::ENOSYS).contains("doctor"));
        assert!(explain(libc::EMFILE).contains("ulimit -n") && explain(libc::EAGAIN).contains("ulimit -u"));
        assert_eq!(explain(libc::ENOMEM), "x");
        assert_eq!(explained_shortage("x", &io::Error::from_raw_os_error(libc::EPERM)), "x");
    }
}
