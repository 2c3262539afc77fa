//! What loophost says: errors, and log lines of the library and of plugins, on standard error.

mod diversion;
mod stderr;

use std::{
    error::Error,
    io::{self, IsTerminal},
    sync::OnceLock,
    time::Duration,
};

use serde_json::json;
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    fmt::{
        self,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use self::diversion::Destination;
pub(crate) use self::diversion::{Diversion, divert};
use crate::printable::printable;

/// How long there may be no room for what must be said.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Which log lines are written: a level (`info`), or a filter (`warn,loophost=debug,limited_policy=trace`).
#[derive(Clone, Debug)]
pub(crate) struct Filter(Targets);

impl Default for Filter {
    fn default() -> Self {
        Self(Targets::new().with_default(LevelFilter::WARN))
    }
}

impl std::fmt::Display for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|error| {
            format!("{error}: a level (error, warn, info, debug, trace) or a list of TARGET=LEVEL")
        })
    }
}

/// What a log line looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people; without the time, which whoever collects the lines knows.
    #[default]
    Text,
    /// An object a line: timestamp, level, target, fields.
    Json,
}

/// The format of this process's lines, once [`init`] was called.
static FORMAT: OnceLock<Format> = OnceLock::new();

/// Begins to write log lines; once is enough.
pub(crate) fn init(filter: &Filter, format: Format) {
    let format = *FORMAT.get_or_init(|| format);
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let lines = fmt::layer()
        .with_ansi(!no_color && io::stderr().is_terminal())
        .with_writer(|| Destination)
        // It would be told with eprintln!, which panics when standard error is closed.
        .log_internal_errors(false);
    let lines = match format {
        Format::Text => lines.without_time().boxed(),
        Format::Json => lines.json().with_ansi(false).boxed(),
    };
    let _ = tracing_subscriber::registry().with(lines).with(filter.0.clone()).try_init();
}

/// Tells why loophost failed, whatever the log level. A closed standard error cannot be told.
pub(crate) fn complain(error: &dyn Error) {
    say(&error.to_string());
}

/// Says something whatever the log level, in the format of log lines.
pub(crate) fn say(message: &str) {
    stderr::write_within(line(message).as_bytes(), LAST_WORDS);
}

/// What [`say`] writes: a whole line.
pub(crate) fn line(message: &str) -> String {
    match FORMAT.get().copied().unwrap_or_default() {
        Format::Text => format!("loophost: {}\n", printable(message)),
        Format::Json => {
            let mut timestamp = String::new();
            // Into a string nothing fails.
            let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
            let fields = json!({ "message": message });
            let line =
                json!({ "timestamp": timestamp, "level": "ERROR", "fields": fields, "target": "loophost" });
            format!("{line}\n")
        }
    }
}
