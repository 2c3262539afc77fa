//! Runs every scenario in every profile and compares the traces.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write,
    process::{Command, ExitCode, Stdio},
    sync::Mutex,
    thread,
};

use serde_json::Value;

use crate::{
    deviations::Deviations,
    recorded::{Trace, VERSIONS},
    scenarios::{self, Run},
};

/// A scenario and the profile that it ran in.
type Key = (String, &'static str);
/// What became of it: its trace, or why there is none.
type Outcome = Result<Trace, String>;

/// Compares the scenarios whose `version/name` contains one of the arguments, or all.
pub(crate) fn run(arguments: &[&str]) -> ExitCode {
    let deviations = Deviations::read();
    let ours: BTreeMap<_, _> = scenarios::all().into_iter().collect();
    let wanted: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let mut report = Report { quiet: wanted.is_empty(), ..Report::default() };
    check_names(&ours, &deviations, &mut report);
    let mut cases = Vec::new();
    for version in &VERSIONS {
        for (name, recorded) in version.traces() {
            let title = format!("{}/{name}", version.number);
            if wanted.is_empty() || wanted.iter().any(|part| title.contains(**part)) {
                cases.push((title, name, version, recorded));
            }
        }
    }
    if arguments.contains(&"--list") {
        cases.iter().for_each(|(title, ..)| println!("{title}: test"));
        return ExitCode::SUCCESS;
    }
    // Versions share a profile, and with it the run.
    let todo: BTreeSet<Key> = cases
        .iter()
        .filter(|(_, name, _, recorded)| ours.contains_key(name) && recorded.is_some())
        .map(|(_, name, version, _)| (name.clone(), version.profile.version()))
        .collect();
    let outcomes = run_all(todo);
    for (title, name, version, recorded) in &cases {
        let Some(recorded) = recorded else {
            report.ignored(title, "this version has no such thing");
            continue;
        };
        if !ours.contains_key(name) {
            if !deviations.is_absent(name) {
                report.failed(title, "there is no such scenario here, and deviations.toml does not say why");
            }
            continue;
        }
        match &outcomes[&(name.clone(), version.profile.version())] {
            Err(why) => report.failed(title, why),
            Ok(trace) => match judge(trace, recorded, &deviations, name, version.number) {
                None => report.passed(title),
                Some(why) => report.failed(title, &why),
            },
        }
    }
    report.end()
}

/// Every name in the files is that of a scenario, and the other way round.
fn check_names(ours: &BTreeMap<String, Run>, deviations: &Deviations, report: &mut Report) {
    let recorded: Vec<_> = VERSIONS.iter().map(|version| (version.number, version.traces())).collect();
    for name in ours.keys() {
        for (number, traces) in &recorded {
            if !traces.contains_key(name) {
                report.failed(&format!("{number}/{name}"), "it was not recorded: run record.py");
            }
        }
    }
    for (name, wanted) in deviations.named() {
        let known = recorded.iter().any(|(number, traces)| {
            wanted.is_none_or(|wanted| wanted == *number) && matches!(traces.get(name), Some(Some(_)))
        });
        if !known || !ours.contains_key(name) {
            report.failed(name, "deviations.toml names it, and there is no such trace");
        }
    }
    for name in deviations.absent() {
        if ours.contains_key(name) || !recorded.iter().any(|(_, traces)| traces.contains_key(name)) {
            report.failed(name, "deviations.toml says that it is absent, which is not so");
        }
    }
}

/// Why the trace is not what it should be.
fn judge(
    trace: &Trace,
    recorded: &Trace,
    deviations: &Deviations,
    name: &str,
    number: &str,
) -> Option<String> {
    let agrees = trace == recorded;
    match deviations.of(name, number) {
        None if agrees => None,
        None => Some(format!("asyncio:\n{}loophost:\n{}", text(recorded), text(trace))),
        Some(deviation) if *trace == deviation.ours && !agrees => None,
        Some(deviation) if agrees && deviation.may_agree => None,
        Some(_) if agrees => Some("it no longer deviates: remove it from deviations.toml".into()),
        Some(deviation) => {
            Some(format!("deviations.toml:\n{}loophost:\n{}", text(&deviation.ours), text(trace)))
        }
    }
}

fn text(trace: &Trace) -> String {
    let mut text = String::new();
    trace.iter().for_each(|event| writeln!(text, "    {event}").unwrap());
    text
}

/// Runs each in a child of its own, as many at once as there are cores.
fn run_all(todo: BTreeSet<Key>) -> BTreeMap<Key, Outcome> {
    let (todo, outcomes) = (Mutex::new(todo.into_iter()), Mutex::new(BTreeMap::new()));
    let next = || todo.lock().unwrap().next();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(key) = next() {
                    let outcome = run_one(&key);
                    outcomes.lock().unwrap().insert(key, outcome);
                }
            });
        }
    });
    outcomes.into_inner().unwrap()
}

fn run_one((name, profile): &Key) -> Outcome {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--scenario", name, profile]).stdin(Stdio::null());
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let lines = std::str::from_utf8(&output.stdout).unwrap().lines();
    let trace: Trace = lines.map(|line| serde_json::from_str::<Value>(line).unwrap()).collect();
    if output.status.success() {
        return Ok(trace);
    }
    Err(format!("{}, after\n{}{stderr}", output.status, text(&trace)))
}

/// What is said in the end.
#[derive(Default)]
struct Report {
    /// Whether only what failed has a line of its own: there are more than a thousand.
    quiet: bool,
    passed: usize,
    ignored: BTreeMap<String, usize>,
    failures: usize,
}

impl Report {
    fn passed(&mut self, title: &str) {
        if !self.quiet {
            println!("test {title} ... ok");
        }
        self.passed += 1;
    }

    fn ignored(&mut self, title: &str, why: &str) {
        if !self.quiet {
            println!("test {title} ... ignored, {why}");
        }
        *self.ignored.entry(why.to_owned()).or_default() += 1;
    }

    fn failed(&mut self, title: &str, why: &str) {
        println!("test {title} ... FAILED\n{why}");
        self.failures += 1;
    }

    fn end(self) -> ExitCode {
        println!("\n{} passed, {} failed", self.passed, self.failures);
        for (why, count) in &self.ignored {
            println!("{count} ignored: {why}");
        }
        if self.failures == 0 { ExitCode::SUCCESS } else { ExitCode::from(101) }
    }
}
