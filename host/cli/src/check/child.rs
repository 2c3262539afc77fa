//! The process of one case: `loophost plugin check-case`, started by `plugin check`.
//!
//! Its standard output is where the result goes. A plugin may print, so that is moved to another descriptor first, and
//! whatever is printed goes to standard error.

use std::{
    error::Error,
    fs::File,
    io::{self, Write},
    os::fd::AsFd,
    path::Path,
    process,
    time::{Duration, Instant},
};

use loophost::testing::HostHarness;
use loophost_testkit::LOADS;
use nix::{
    sys::resource::{Resource, setrlimit},
    unistd::dup2_stdout,
};
use serde::{Deserialize, Serialize};

use super::{
    case,
    job::Job,
    result::{Ended, Verdict},
    target::BUILT_IN,
    under_test::UnderTest,
};
use crate::{
    args::{Args, CheckCase},
    exit_status::Outcome,
    settings::{self, Settings},
};

/// What a case may write to any one file.
const OUTPUT: u64 = 256 << 20;

/// What the process tells the one that has started it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) verdict: Verdict,
    pub(super) reason: Option<String>,
    pub(super) load_time: Option<Duration>,
}

pub(crate) fn run(args: &CheckCase, common: &Args) -> Result<Outcome, Box<dyn Error>> {
    let mut result = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    dup2_stdout(io::stderr())?;
    // A crash is a result; nobody wants to debug it from here.
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    // What is printed goes to a file.
    setrlimit(Resource::RLIMIT_FSIZE, OUTPUT, OUTPUT)?;
    let me = process::id();
    let settings = Settings::begin(common)?;
    let case = case(&args.case).ok_or_else(|| format!("{}: there is no such case", args.case))?;
    let path = (args.plugin != BUILT_IN).then_some(Path::new(&args.plugin));
    if path.is_some() {
        settings::refuse_if_secure("a path")?;
    }
    let harness = HostHarness::with_patience(Duration::from_millis(args.patience_ms));
    let under_test = UnderTest::new(&harness, path, &settings.trust, &args.options);
    let ended = run_timed(&under_test, &Job { case, offer: args.offer.clone() });
    if process::id() != me {
        // The plugin has forked, and this is not the process that is asked.
        return Ok(Outcome::Failed);
    }
    let Ended { verdict, reason, load_time, .. } = ended;
    serde_json::to_writer(&mut result, &Told { verdict, reason, load_time })?;
    result.flush()?;
    Ok(Outcome::Done)
}

/// Runs a job in this process; if it is about loading, how long that takes is measured too.
pub(super) fn run_timed(under_test: &UnderTest<'_>, job: &Job) -> Ended {
    let start = Instant::now();
    let ended = match under_test.run(job) {
        Ok(outcome) => outcome.into(),
        Err(error) => Ended::new(Verdict::Unloadable, Some(error.to_string())),
    };
    if job.case.name() != LOADS {
        return ended;
    }
    let load_time = Some(start.elapsed());
    // Asked again, for the whole of a refusal; what was loaded stays so.
    match under_test.plugin() {
        Err(error) => Ended::new(Verdict::Unloadable, Some(error.to_string())),
        Ok(_) => Ended { load_time, ..ended },
    }
}
