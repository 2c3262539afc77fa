//! `loophost plugin check`: runs the conformance suite on what a plugin offers.
//!
//! Each case runs in a process of its own ([`isolated`]), which is this binary with a hidden subcommand ([`child`]), so that
//! a crash or a hang is a result like any other and the run goes on. Two cases are gates: what cannot be loaded, or made, is
//! checked no further.

mod child;
mod in_process;
mod isolated;
mod job;
mod plan;
mod processes;
mod report;
mod result;
mod target;
mod under_test;

use std::{
    error::Error,
    io::{self, IsTerminal},
    num::NonZero,
    thread,
    time::Duration,
};

use loophost_testkit::Case;

use self::{
    isolated::Isolated,
    job::Job,
    plan::{Plan, Selection},
    report::Report,
    result::{Ended, Verdict},
    target::Target,
};
use crate::{
    args::{Args, Check},
    exit_status::Outcome,
    output,
    settings::Settings,
};

pub(crate) use child::run as run_case;
pub(crate) use job::OfferName;

/// What a case may take unless `--timeout` says otherwise.
const TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) fn run(args: &Check, common: &Args) -> Result<Outcome, Box<dyn Error>> {
    let settings = Settings::begin(common)?;
    let selection = Selection::new(&args.only)?;
    let target =
        args.plugin.as_deref().map(|plugin| Target::find(plugin, &args.options, &settings)).transpose()?;
    if args.list {
        return output::ended(report::list(&mut io::stdout().lock(), target.as_ref(), &selection));
    }
    // clap has seen to it: without --list there is one.
    let target = target.ok_or("no plugin was named")?;
    let plan = Plan::new(&target, &selection)?;
    let timeout = args.timeout.unwrap_or(TIMEOUT);
    let mut report = Report::new(args.json, is_colored(), &target);
    let mut runner: Box<dyn Runner> = if args.in_process {
        Box::new(in_process::InProcess::new(&target, &settings, &args.options, timeout))
    } else {
        let jobs = args.jobs.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZero::get);
        Box::new(Isolated::new(&target, isolated::flags(common, args), jobs, timeout)?)
    };
    report.begin(plan.count()).map_err(unwritten)?;
    carry_out(&plan, &mut *runner, &mut report)?;
    report.end().map_err(unwritten)?;
    Ok(if report.is_success() { Outcome::Done } else { Outcome::Problem })
}

/// Also if the reader has had enough, as `| head` has: whoever asks for the status is not to take it for a success.
fn unwritten(error: io::Error) -> String {
    format!("writing the report: {error}; it is not complete")
}

/// What runs jobs, one or several at a time.
trait Runner {
    fn run(&mut self, jobs: &[Job], each: &mut Each<'_>) -> Result<(), Box<dyn Error>>;
}

/// Called for each job that has ended.
type Each<'a> = dyn FnMut(&Job, Ended) -> Result<(), Box<dyn Error>> + 'a;

/// First the gates, then what they let pass.
fn carry_out(plan: &Plan, runner: &mut dyn Runner, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let mut closed = Vec::new();
    for gates in plan.gates() {
        if !closed.is_empty() {
            break;
        }
        runner.run(gates, &mut |job, ended| {
            if ended.verdict == Verdict::Unloadable {
                return Err(ended.reason.unwrap_or_default().into());
            }
            let is_open = ended.verdict == Verdict::Passed;
            if !is_open {
                closed.push(job.offer.clone());
            }
            if is_open && !plan.selects(job) {
                report.note(&ended);
                return Ok(());
            }
            Ok(report.add(job, &ended).map_err(unwritten)?)
        })?;
    }
    let is_closed = |job: &Job| closed.iter().any(|offer| offer.is_none() || *offer == job.offer);
    let (shut, open): (Vec<_>, Vec<_>) = plan.others().iter().cloned().partition(is_closed);
    for job in shut {
        let is_loaded = job.offer.is_some() && !closed.contains(&None);
        let reason = if is_loaded { "it cannot be made" } else { "the plugin cannot be loaded" };
        report.add(&job, &Ended::skipped(reason)).map_err(unwritten)?;
    }
    runner.run(&open, &mut |job, ended| Ok(report.add(job, &ended).map_err(unwritten)?))
}

fn is_colored() -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !no_color && io::stdout().is_terminal()
}

/// The case of that name.
fn case(name: &str) -> Option<&'static Case> {
    loophost_testkit::cases().find(|case| case.name() == name)
}
