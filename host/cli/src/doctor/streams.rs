//! Standard streams and the terminal.

use std::io::{self, IsTerminal};

use nix::unistd::{getpgrp, tcgetpgrp};

use super::finding::Finding;
use crate::sys::startup;

pub(super) fn findings() -> Vec<Finding> {
    vec![streams(), terminal()]
}

fn streams() -> Finding {
    const ID: &str = "terminal.streams";
    let is_terminal = [io::stdin().is_terminal(), io::stdout().is_terminal(), io::stderr().is_terminal()];
    let kinds = ["stdin", "stdout", "stderr"].into_iter().zip(is_terminal).zip(0..).map(|((name, is), n)| {
        let kind = match (startup::was_closed(n), is) {
            (true, _) => "closed",
            (_, true) => "a terminal",
            (_, false) => "no terminal",
        };
        format!("{name} {kind}")
    });
    let value = kinds.collect::<Vec<_>>().join(", ");
    if (0..3).any(startup::was_closed) {
        return Finding::note(ID, value, "what was closed stays closed for the program that `run` starts");
    }
    Finding::ok(ID, value)
}

fn terminal() -> Finding {
    const ID: &str = "terminal.foreground";
    match tcgetpgrp(io::stdin()) {
        Err(_) => Finding::ok(ID, "stdin is not the controlling terminal"),
        Ok(group) if group == getpgrp() => Finding::ok(ID, "yes"),
        Ok(_) => Finding::ok(ID, "no: a job in the background"),
    }
}
