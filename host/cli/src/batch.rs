//! `loophost batch`: very many programs, a few at a time.
//!
//! One loop in one thread starts the jobs, reads their output and notices their ends ([`runner`]); a second thread
//! writes what finished jobs have printed ([`writer`]), so that a reader who is slow or gone holds up neither signals
//! nor timeouts. What is waiting to be written is bounded: when it is too much, no new job starts, and no more input is
//! read.

mod capture;
mod halt;
mod job;
mod jobs;
mod progress;
mod record;
mod runner;
mod source;
mod template;
mod writer;

use std::{error::Error, ffi::OsString, fs::File, io, os::fd::AsFd};

use loophost::{policy, process::Stdio, signal};
use nix::sys::prctl;

pub(crate) use halt::Halt;
pub(crate) use jobs::Jobs;

use self::{
    progress::Progress,
    runner::Runner,
    source::{Lines, Source},
    template::Template,
    writer::Writer,
};
use crate::{
    args::{Args, Batch},
    choice,
    exit_status::Outcome,
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
    let (command, values) = split(&args.command);
    let template = Template::new(command)?;
    let (source, stdin_is_input) = source(args, values)?;
    let watchdog = Watchdog::default();
    let chosen = choice::choose(&args.choices, &settings, &watchdog)?;

    policy::set_event_loop(Some(chosen.event_loop.clone()))?;
    let progress = Progress::new(args.no_progress || args.json, source.total());
    let writer = Writer::start(progress.clone(), args.json)?;
    let runner = Runner::new(
        chosen.event_loop.clone(),
        watchdog,
        runner::Plan {
            template,
            source,
            jobs: args.jobs.count(),
            ungroup: args.ungroup,
            keep_order: args.keep_order,
            json: args.json,
            halt: args.halt,
            timeout: args.timeout.map(Into::into),
            stdin_is_input,
            death_signal: death_signal(),
        },
    );
    let outcome = runner.run(writer, progress).map_err(|error| chosen.loop_error(&error))?;
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
fn source(args: &Batch, values: Option<Vec<OsString>>) -> Result<(Source, bool), Box<dyn Error>> {
    let separator = if args.null { 0 } else { b'\n' };
    match (values, &args.arg_file) {
        (Some(_), Some(_)) => Err("values come either from --arg-file or after :::, not from both".into()),
        (Some(values), None) => Ok((Source::Values(values.into_iter()), false)),
        (None, Some(path)) => {
            let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok((Source::Lines(Lines::new(file.into(), separator)), false))
        }
        (None, None) => {
            let stdin = io::stdin().as_fd().try_clone_to_owned()?;
            Ok((Source::Lines(Lines::new(stdin, separator)), true))
        }
    }
}

/// What the kernel sends to jobs when loophost is killed; `None` where a sandbox forbids that.
fn death_signal() -> Option<i32> {
    // A new value for nobody: only whether it may be set.
    match prctl::get_pdeathsig().and_then(prctl::set_pdeathsig) {
        Ok(()) => Some(libc::SIGKILL),
        Err(errno) => {
            tracing::warn!("jobs will go on if loophost is killed: setting a death signal: {errno}");
            None
        }
    }
}

/// What a job reads: nothing, if its standard input is where the values come from.
fn job_stdin(stdin_is_input: bool) -> Stdio {
    if stdin_is_input { Stdio::Null } else { Stdio::Inherit }
}
