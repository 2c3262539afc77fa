//! The binary `loophost`: parse, run, exit.

#![deny(unsafe_code)]

mod args;
mod batch;
mod check;
mod choice;
mod completions;
mod config;
mod death_signal;
mod doctor;
mod exit_status;
mod explain;
mod export;
mod log;
mod missed_exit;
mod output;
mod owner;
mod plugins;
mod printable;
mod run;
mod settings;
mod source;
#[allow(unsafe_code, reason = "the door to the operating system")]
mod sys;
mod watchdog;

use std::{error::Error, process::ExitCode};

use args::{Args, Subcommand};
use clap::Parser as _;
use exit_status::Outcome;

fn main() -> ExitCode {
    sys::signals::stop_dying_of_large_files();
    if let Err(error) = sys::memory::reserve() {
        let message =
            format!("reserving memory: {error}; the limit of address space may be too low (ulimit -v)");
        return exit_status::of(&told(Err(message.into()))).into();
    }
    let outcome = match Args::try_parse() {
        Ok(args) => dispatch(&args),
        Err(help) => {
            // Help and version are printed to standard output and are no failure.
            let failed = help.use_stderr();
            let printed = output::ended(help.print().map_err(Into::into));
            if failed { Outcome::Failed } else { told(printed) }
        }
    };
    exit_status::of(&outcome).into()
}

fn dispatch(args: &Args) -> Outcome {
    let result = match &args.subcommand {
        Subcommand::Run(run) => run::run(run, args),
        Subcommand::Batch(batch) => batch::run(batch, args),
        Subcommand::Doctor(doctor) => doctor::run(doctor, args),
        Subcommand::Plugin(plugin) => plugins::run(plugin, args),
        Subcommand::Completions { shell } => completions::print(*shell),
    };
    told(result)
}

/// The outcome; an error is told.
fn told(result: Result<Outcome, Box<dyn Error>>) -> Outcome {
    result.unwrap_or_else(|error| {
        log::complain(&*error);
        Outcome::Failed
    })
}
