//! `loophost doctor`: what this kernel and container allow, what would be chosen, and what to mend.
//!
//! Nothing of a plugin runs, unless `--load` is given. What cannot be found out is a finding too: doctor is for places
//! where something is wrong, so it needs neither `/proc` nor a free descriptor nor a reader of its output.

mod cgroup;
mod choices;
mod configuration;
mod confinement;
mod container;
mod events;
mod finding;
mod kernel;
mod limits;
mod loading;
mod making;
mod plugins;
mod proc_status;
mod signals;
mod streams;
mod text;

use std::{
    error::Error,
    io::{self, IsTerminal, Write},
};

use loophost::{ABI_MAJOR, ABI_MINOR};
use serde::Serialize;

use crate::{
    args::{Args, Doctor},
    exit_status::Outcome,
    output,
    settings::Settings,
};
use choices::Choice;
use finding::{Finding, Level};
use plugins::Folder;
use proc_status::ProcStatus;

/// The object of `--json`, as the README documents it: keys stay as they are, new ones may come.
#[derive(Debug, Serialize)]
struct Report {
    /// The version of this object; it changes when a key changes its meaning or goes away.
    schema: u32,
    /// loophost's version.
    version: &'static str,
    /// The plugin ABI of this host.
    abi: String,
    /// The worst level of all findings.
    level: Level,
    findings: Vec<Finding>,
    /// What would be chosen; empty if the flags contradict each other.
    choices: Vec<Choice>,
    plugin_path: Vec<Folder>,
}

pub(crate) fn run(args: &Doctor, common: &Args) -> Result<Outcome, Box<dyn Error>> {
    if args.load_here {
        return loading::answer(args, &Settings::begin(common)?);
    }
    let report = examine(args, common);
    let printed = print(&report, args.json);
    // Whoever has stopped reading asks for the status.
    output::ended(printed.map_err(Into::into))?;
    Ok(if report.level == Level::Problem { Outcome::Problem } else { Outcome::Done })
}

fn examine(args: &Doctor, common: &Args) -> Report {
    let (settings, trouble) = match Settings::begin(common) {
        Ok(settings) => (settings, None),
        Err(error) => (Settings::without_files(common), Some(error.to_string())),
    };
    let status = ProcStatus::read();
    let mut findings = Vec::new();
    findings.extend(kernel::findings());
    findings.extend(events::findings());
    findings.extend(making::findings());
    findings.extend(confinement::findings(&status));
    findings.extend(container::findings(&status));
    findings.extend(cgroup::findings());
    findings.extend(signals::findings());
    findings.extend(limits::findings());
    findings.extend(streams::findings());
    findings.extend(configuration::findings(&settings, common, trouble));
    let plugin_path = plugins::folders(&settings);
    findings.extend(plugins::findings(&plugin_path));
    let (choices, of_choices) = choices::examine(args, &settings);
    findings.extend(of_choices);
    Report {
        schema: 1,
        version: env!("CARGO_PKG_VERSION"),
        abi: format!("{ABI_MAJOR}.{ABI_MINOR}"),
        level: findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok),
        findings,
        choices,
        plugin_path,
    }
}

fn print(report: &Report, json: bool) -> io::Result<()> {
    let text = if json {
        serde_json::to_string_pretty(report)? + "\n"
    } else {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        text::render(report, !no_color && io::stdout().is_terminal())
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
