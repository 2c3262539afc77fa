//! `loophost batch`: very many programs, a few at a time.
//!
//! One loop in one thread starts the jobs, reads their output and notices their ends ([`runner`], with what it knows in
//! [`state`]). A second thread writes what finished jobs have printed, what loophost itself has to say, and the progress
//! bar ([`printer`], reached through [`writer`]), so that a reader who is slow or gone holds up neither signals nor
//! timeouts. What is waiting to be written is bounded: when it is too much, no new job starts, and no more input is read.

mod bar;
mod capture;
mod descriptors;
mod groups;
mod halt;
mod job;
mod jobs;
mod lines;
mod plan;
mod printed;
mod printer;
mod progress;
mod record;
mod refusal;
mod runner;
mod state;
mod stream;
mod template;
mod values;
mod writer;

use std::{error::Error, ffi::OsString, sync::Arc};

use loophost::{policy, signal};

pub(crate) use halt::Halt;
pub(crate) use jobs::Jobs;

use self::{
    bar::Bar, plan::Plan, printer::Printer, progress::Progress, runner::Runner, template::Template,
    values::Values, writer::Writer,
};
use crate::{
    args::{Args, Batch},
    choice, death_signal,
    exit_status::Outcome,
    export::Export,
    settings::Settings,
    sys::signals,
    watchdog::Watchdog,
};

/// What ends a batch early. Signals that a terminal sends reach loophost only: each job has a session of its own.
const ENDING: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// What separates command and values on the command line.
const VALUES: &str = ":::";

pub(crate) fn run(args: &Batch, common: &Args) -> Result<Outcome, Box<dyn Error>> {
    // Before any thread exists, so that all of them inherit the mask.
    signal::init_mask(&ENDING)?;
    signals::stop_ignoring_children()?;
    let settings = Settings::begin(common)?;
    let (command, given) = split(&args.command);
    if given.iter().flatten().any(|value| value == VALUES) {
        return Err("`:::` stands once, between the command and all values".into());
    }
    let template = Template::new(command, args.replace.as_deref())?;
    let (values, stdin_is_input) = values(args, given)?;
    let watchdog = Watchdog::default();
    let chosen = choice::choose(&args.choices, &settings, &watchdog)?;

    policy::set_event_loop(Some(chosen.event_loop.clone()))?;
    let progress = Arc::new(Progress::new(values.total()));
    let has_bar = !(args.no_progress || args.json || args.ungroup);
    let bar = has_bar.then(|| Bar::new(progress.clone())).flatten();
    let writer = Writer::start(|shared| Printer::new(shared, bar, args.json))?;
    let plan = Plan {
        template,
        values,
        jobs: args.jobs.count(),
        ungroup: args.ungroup,
        keep_order: args.keep_order,
        json: args.json,
        halt: args.halt,
        timeout: args.timeout.filter(|timeout| !timeout.is_zero()),
        grace: args.grace,
        stdin_is_input,
        death_signal: death_signal::find("jobs"),
        export: if args.no_export { Export::NONE } else { Export::new(&chosen, &settings) },
    };
    let runner = Runner::new(chosen.event_loop.clone(), watchdog, plan, writer, progress);
    let outcome = runner.run().map_err(|error| chosen.loop_error(&error))?;
    chosen.close_loop();
    Ok(outcome)
}

/// The command, and the values after `:::` if there are any.
fn split(words: &[OsString]) -> (&[OsString], Option<Vec<OsString>>) {
    match words.iter().position(|word| word == VALUES) {
        Some(at) => (&words[..at], Some(words[at + 1..].to_vec())),
        None => (words, None),
    }
}

/// Where the values come from, and whether that is standard input, which then is not the jobs'.
fn values(args: &Batch, given: Option<Vec<OsString>>) -> Result<(Values, bool), Box<dyn Error>> {
    let separator = if args.null { 0 } else { b'\n' };
    match (given, &args.arg_file) {
        (Some(_), Some(_)) => Err("values come either from --arg-file or after :::, not from both".into()),
        (Some(values), None) => Ok((Values::Given(values.into_iter()), false)),
        (None, Some(path)) if path == "-" => Ok((Values::of_stdin(separator)?, true)),
        (None, Some(path)) => {
            let values = Values::of_file(path, separator);
            Ok((values.map_err(|error| format!("{}: {error}", path.display()))?, false))
        }
        (None, None) => Ok((Values::of_stdin(separator)?, true)),
    }
}
