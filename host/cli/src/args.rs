//! The command line.

use std::{ffi::OsString, num::NonZero, path::PathBuf, time::Duration};

use clap::{
    Parser,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};
use loophost::{
    OfferKind, Options,
    policy::{Deprecation, Profile},
};
use nix::sys::signal::Signal;

use crate::{
    batch::{Halt, Jobs},
    check::OfferName,
    log::{Filter, Format},
    owner::Owner,
};

/// The heading of the options that every command has.
const GLOBAL: &str = "Global options";
/// The heading of those that choose policy and watcher.
const CHOICES: &str = "Event loop";

/// Runs programs on an event loop and child watcher of your choice.
///
/// A policy decides which event loop loophost runs on and how it learns that a child has exited. Policies and child
/// watchers are built in or come from plugin files. Programs keep their own loop, unless they are built on loophost's
/// library.
#[derive(Debug, Parser)]
#[command(name = "loophost", version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) subcommand: Subcommand,

    /// What to log to standard error: a level (error, warn, info, debug, trace) or a filter (TARGET=LEVEL,…); else
    /// LOOPHOST_LOG
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "LEVEL|FILTER")]
    pub(crate) log: Option<Filter>,

    /// Do not log the deprecation with this code; may be given several times, or with commas
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "CODE", value_delimiter = ',', value_parser = deprecation())]
    pub(crate) silence: Vec<Deprecation>,

    /// What log lines look like
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: Format,

    /// Look for plugins in this folder first; may be given several times
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "FOLDER")]
    pub(crate) plugin_path: Vec<PathBuf>,

    /// Trust the plugin and configuration files of this user too, not only root's and your own; may be given several
    /// times
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "UID|NAME")]
    pub(crate) trust_owner: Vec<Owner>,

    /// Read this configuration file in place of $XDG_CONFIG_HOME/loophost/config.toml
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Subcommand {
    /// Run one program: forward signals, reap it, and exit as it did
    #[command(after_help = RUN_HELP)]
    Run(Run),
    /// Run very many programs, a few at a time
    #[command(after_help = BATCH_HELP)]
    Batch(Batch),
    /// Say what this kernel and container allow, which policy and watcher would be chosen, and what to mend
    #[command(after_help = DOCTOR_HELP)]
    Doctor(Doctor),
    /// Look at plugins, and check them
    #[command(subcommand)]
    Plugin(Plugin),
    /// Print completions for a shell, to be sourced by it
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

const RUN_HELP: &str = "\
Signals: INT, TERM, HUP, QUIT, USR1, USR2, WINCH and CONT are forwarded to the
program. What the terminal sends reaches it once: ^C is one INT, and ^Z stops it
together with loophost. As PID 1 or as a subreaper loophost also reaps the
orphans that it adopts.

Exit status: the program's own; 128+N if signal N ended it; 127 if it was not
found; 126 if it cannot be executed; 125 if loophost itself failed. If the
program dies of a ^C so does loophost, which shells show as 130.

Examples:
  loophost run -- redis-server --port 7777
  loophost run --policy poll --watcher threaded -- redis-server
  loophost run --policy ./libmine.so#variant --policy-opt max=1 -- ./server
  loophost run --explain --policy poll";

const DOCTOR_HELP: &str = "\
Exit status: 0 if nothing is a problem, 1 if something is, 125 if doctor itself
failed. Notes and warnings are no problems.";

#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) choices: Choices,

    /// Print one JSON object; its keys stay as they are, new ones may come
    #[arg(long)]
    pub(crate) json: bool,

    /// Load the chosen plugins and make policy, loop and watcher; otherwise nothing of a plugin is run
    #[arg(long)]
    pub(crate) load: bool,

    /// Only load, and tell the doctor that has started this one through the standard input
    #[arg(long, hide = true)]
    pub(crate) load_here: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) choices: Choices,

    /// Do not tell the program what was chosen: otherwise what is built on loophost's library runs on it too
    #[arg(long, help_heading = CHOICES)]
    pub(crate) no_export: bool,

    /// Send the program this signal, such as TERM or KILL, if loophost itself is killed
    #[arg(long, value_name = "SIGNAL", value_parser = signal)]
    pub(crate) death_signal: Option<i32>,

    /// Say which policy and watcher would be used, from which file and why; run nothing
    #[arg(long)]
    pub(crate) explain: bool,

    /// The program and its arguments
    #[arg(value_name = "CMD", trailing_var_arg = true, required_unless_present = "explain")]
    pub(crate) command: Vec<OsString>,
}

const BATCH_HELP: &str = "\
A job is run for each line of standard input, or of --arg-file, or for each
value after :::. Empty lines are skipped. In the command {} stands for the value
and {#} for the job's number; without a {} the value is appended. No shell looks
at the value. The first ::: begins the values and {} is always replaced, nothing
escapes them; --replace chooses another {}. A value has at most 131071 bytes; a
longer one is a failed job.

Each job runs in a session of its own, without a terminal. It reads loophost's
standard input with --arg-file and :::, otherwise nothing. Its output is what it
and its children have printed until it exits; what a child that it leaves behind
prints later is lost.

A job that is to end (--timeout, --halt now, a signal) gets TERM with all of its
process group, and KILL after --grace, also if only children of it are left
(before Linux 6.9 only as long as the job itself is there). A second INT, TERM
or QUIT, half a second or more after the first signal, kills at once.

--json: an object a line for each job, in the order in which they end:
  seq        its number, from 1
  value      its value; what is not UTF-8 is replaced
  pid        its pid; null if it could not be started
  returncode 0 to 255; -N if signal N ended it; 127 or 126 if it could not be
             started, as error tells
  start      when it started, in seconds since 1970
  duration   how long it ran, in seconds
  cpu        the processor time that it used, in seconds
  timed_out  whether --timeout ended it
  ended      whether loophost ended it because the batch was to end
  error      only if there is one: why it could not be started, or its output
             could not be kept

Exit status: 0; 123 if a job has failed; 124 if --halt stopped the batch; 126 or
127 if the program, the same for all jobs, cannot be executed or is not found;
128+N if signal N ended the batch, which ends its jobs first; 125 if loophost
itself failed. Of several the last one in this list counts.

Examples:
  find . -name '*.wav' -print0 | loophost batch -0 -j 8 flac --best {}
  loophost batch -j 50% --halt soon,fail=3 -a hosts ssh {} uptime
  loophost batch --json -- sh -c 'exit $1' sh ::: 0 1 2";

#[derive(Debug, clap::Args)]
pub(crate) struct Batch {
    #[command(flatten)]
    pub(crate) choices: Choices,

    /// Do not tell the jobs what was chosen: otherwise what is built on loophost's library runs on it too
    #[arg(long, help_heading = CHOICES)]
    pub(crate) no_export: bool,

    /// Run N jobs at a time, or as many as N% of the processors
    #[arg(short, long, value_name = "N|N%", default_value = "100%")]
    pub(crate) jobs: Jobs,

    /// Read the values from FILE instead of standard input; `-` is standard input
    #[arg(short = 'a', long, value_name = "FILE")]
    pub(crate) arg_file: Option<PathBuf>,

    /// Values end with a zero byte instead of a newline
    #[arg(short = '0', long)]
    pub(crate) null: bool,

    /// Replace STR in the command by the value, instead of {}; without STR in it nothing is appended
    #[arg(short = 'I', long, value_name = "STR")]
    pub(crate) replace: Option<OsString>,

    /// Let jobs write to the output as they like, mixed with each other; without a progress bar
    #[arg(short, long, conflicts_with_all = ["keep_order", "json"])]
    pub(crate) ungroup: bool,

    /// Write outputs in the order of the values
    #[arg(short, long)]
    pub(crate) keep_order: bool,

    /// Write an object for each job that has ended, a line each; see below for its keys. What the jobs print goes to
    /// standard error
    #[arg(long)]
    pub(crate) json: bool,

    /// Stop after N failed jobs: let those that run finish, or end them now
    #[arg(long, value_name = "now|soon[,fail=N]")]
    pub(crate) halt: Option<Halt>,

    /// End a job that runs longer, such as 90s or 2m (seconds without a unit; 0 for no limit); it has failed
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,

    /// How long a job that is to end may take before it is killed
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub(crate) grace: Duration,

    /// No progress bar, also on a terminal
    #[arg(long)]
    pub(crate) no_progress: bool,

    /// The program, its arguments, and ::: before values
    #[arg(value_name = "CMD", trailing_var_arg = true, required = true)]
    pub(crate) command: Vec<OsString>,
}

/// What policies and watchers are made with.
#[derive(Debug, clap::Args)]
pub(crate) struct OfferOptions {
    /// An option of the policy; may be given several times
    #[arg(long, help_heading = CHOICES, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) policy_opt: Vec<(String, String)>,

    /// An option of the watcher; may be given several times
    #[arg(long, help_heading = CHOICES, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) watcher_opt: Vec<(String, String)>,
}

impl OfferOptions {
    /// Those of policies, or of watchers.
    pub(crate) fn of(&self, kind: OfferKind) -> Options {
        let given = match kind {
            OfferKind::Policy => &self.policy_opt,
            OfferKind::Watcher => &self.watcher_opt,
        };
        let mut options = Options::new();
        given.iter().for_each(|(key, value)| options.push(key, value));
        options
    }
}

/// Which policy and which watcher.
#[derive(Debug, clap::Args)]
pub(crate) struct Choices {
    /// The event loop policy: `default`, a plugin's name, or a plugin file; #NAME picks one of several it offers
    #[arg(long, help_heading = CHOICES, value_name = "NAME|FILE[#NAME]")]
    pub(crate) policy: Option<OsString>,

    /// The child watcher: `auto`, `pidfd`, `threaded`, `safe`, `fast`, `multi-loop`, a plugin's name, or a plugin file
    #[arg(long, help_heading = CHOICES, value_name = "NAME|FILE[#NAME]")]
    pub(crate) watcher: Option<OsString>,

    #[command(flatten)]
    pub(crate) options: OfferOptions,

    /// Choose as this version of asyncio does: child watcher and deprecations
    #[arg(long, help_heading = CHOICES, value_name = "VERSION", value_parser = profile())]
    pub(crate) compat: Option<Profile>,

    /// Use the built-in default, with a warning, if the policy or watcher cannot be used
    #[arg(long, help_heading = CHOICES)]
    pub(crate) fallback: bool,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Plugin {
    /// List the built-ins and the plugins on the search path
    List,
    /// Show what a plugin says of itself, without running it
    Inspect {
        /// A plugin file (with a slash in it) or the name of a plugin on the search path
        #[arg(value_name = "FILE|NAME")]
        plugin: OsString,
    },
    /// Run the conformance suite on a plugin, each case in a process of its own
    #[command(after_help = CHECK_HELP)]
    Check(Check),
    /// One case of `check`
    #[command(hide = true)]
    CheckCase(CheckCase),
}

const CHECK_HELP: &str = "\
Cases run on everything that the plugin offers: plugin/ on the file and on making
each offer, loop/ and policy/ on policies, watcher/ on watchers, subprocess/ on
both. A case that crashes or hangs is a result, and the check goes on.

A case may take a minute, and leaves nothing behind: what it has started is
killed with it.

Exit status: 0 if nothing has failed, crashed or timed out; 1 if something has;
125 if the plugin cannot be loaded, or loophost itself failed: also if not all of
the report could be written.

Examples:
  loophost plugin check ./target/debug/libmine.so
  loophost plugin check mine#variant --only 'loop/*' --json
  loophost plugin check default";

#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// A plugin file (with a slash in it), the name of a plugin on the search path, or a built-in; #NAME picks one of
    /// several offers
    #[arg(value_name = "FILE|NAME[#NAME]", required_unless_present = "list")]
    pub(crate) plugin: Option<OsString>,

    /// Print one JSON object a line: case, meaning, offer, result, reason, duration
    #[arg(long)]
    pub(crate) json: bool,

    /// Run only the cases whose names match, such as 'loop/*'; may be given several times
    #[arg(long, value_name = "GLOB")]
    pub(crate) only: Vec<String>,

    /// Run N cases at a time; the number of processors by default
    #[arg(short, long, value_name = "N")]
    pub(crate) jobs: Option<NonZero<usize>>,

    /// Kill a case that takes longer, such as 90s or 2m; 1m by default
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub(crate) timeout: Option<Duration>,

    #[command(flatten)]
    pub(crate) options: OfferOptions,

    /// Run all cases in this process, one after the other, as for a debugger; a crash or a hang ends the check
    #[arg(long, conflicts_with = "jobs")]
    pub(crate) in_process: bool,

    /// List the cases, and run none
    #[arg(long)]
    pub(crate) list: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CheckCase {
    /// A plugin file, or `builtin`
    pub(crate) plugin: OsString,

    #[arg(long)]
    pub(crate) case: String,

    /// None: the plugin itself
    #[arg(long)]
    pub(crate) offer: Option<OfferName>,

    #[arg(long)]
    pub(crate) patience_ms: u64,

    #[command(flatten)]
    pub(crate) options: OfferOptions,
}

/// A length of time with units, or in seconds, as timeout(1) has it.
fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse() {
        return Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string());
    }
    humantime::parse_duration(text).map_err(|error| format!("{error}; write 90s, 2m or 500ms"))
}

/// The same, where none at all would make no sense.
fn some_time(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if time.is_zero() { Err("it must be more than 0".to_owned()) } else { Ok(time) }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("it must have the form KEY=VALUE".to_owned()),
    }
}

/// A signal by its name, with or without SIG, or its number.
fn signal(text: &str) -> Result<i32, String> {
    if let Ok(number) = text.parse() {
        return Some(number)
            .filter(|number| (1..=64).contains(number))
            .ok_or("signals are 1 to 64".to_owned());
    }
    let name = text.to_ascii_uppercase();
    let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
    name.parse::<Signal>().map(|signal| signal as i32).map_err(|_| "there is no such signal".to_owned())
}

/// The profiles, so that help and completions list them.
fn profile() -> impl TypedValueParser<Value = Profile> {
    let versions = Profile::ALL.map(|profile| match profile {
        Profile::V3_9 => PossibleValue::new("3.9").aliases(["3.10", "3.11"]),
        other => PossibleValue::new(other.version()),
    });
    PossibleValuesParser::new(versions).try_map(|version| version.parse())
}

/// The same for the codes of deprecations.
fn deprecation() -> impl TypedValueParser<Value = Deprecation> {
    PossibleValuesParser::new(Deprecation::ALL.map(Deprecation::code)).try_map(|code| code.parse())
}
