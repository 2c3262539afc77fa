//! How a job has ended.

use std::{fmt, time::Duration};

use loophost_testkit::Outcome;
use serde::{Deserialize, Serialize};

/// In one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    Passed,
    Failed,
    Skipped,
    /// The process of the case died.
    Crashed,
    /// It had to be killed.
    TimedOut,
    /// The plugin is refused; no result of a case, but the end of the whole check.
    Unloadable,
}

/// How a job has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) verdict: Verdict,
    /// Why it has not passed.
    pub(super) reason: Option<String>,
    /// From the start of its process to its end.
    pub(super) duration: Duration,
    /// How long loading the plugin took, if this case is about that.
    pub(super) load_time: Option<Duration>,
    /// The end of what it wrote to standard error.
    pub(super) output: String,
}

impl Verdict {
    pub(super) const ALL: [Self; 5] =
        [Self::Passed, Self::Failed, Self::Crashed, Self::TimedOut, Self::Skipped];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Crashed => "crashed",
            Self::TimedOut => "timed out",
            Self::Unloadable => "unloadable",
        }
    }

    pub(super) fn is_bad(self) -> bool {
        !matches!(self, Self::Passed | Self::Skipped)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Ended {
    pub(super) fn new(verdict: Verdict, reason: Option<String>) -> Self {
        Self { verdict, reason, duration: Duration::ZERO, load_time: None, output: String::new() }
    }

    pub(super) fn skipped(reason: &str) -> Self {
        Self::new(Verdict::Skipped, Some(reason.to_owned()))
    }
}

impl From<Outcome> for Ended {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Passed => Self::new(Verdict::Passed, None),
            Outcome::Failed(reason) => Self::new(Verdict::Failed, Some(reason)),
            Outcome::Skipped(reason) => Self::new(Verdict::Skipped, Some(reason)),
        }
    }
}
