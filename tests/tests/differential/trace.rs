//! The trace of the scenario that runs in this process: each event a line of JSON on the standard output, at once, so that
//! a forked child may go on writing. The words are those of `tests/differential/scenarios/trace.py`.

use std::{
    fmt,
    io::{self, Write},
};

use loophost::{Error, ErrorCode, HandleId, LoopHandle, process::SpawnError};
use serde_json::{Map, Value, json};
use tracing::{Event, Level, Subscriber, field::Field};
use tracing_subscriber::{Layer, layer::Context, prelude::*};

/// Notes an event with everything that it says.
pub(crate) fn note_all(event: &str, more: Value) {
    let mut fields = Map::from_iter([("event".to_owned(), event.into())]);
    fields.extend(more.as_object().unwrap().clone());
    let mut output = io::stdout().lock();
    writeln!(output, "{}", Value::from(fields)).unwrap();
    output.flush().unwrap();
}

/// Notes an event.
pub(crate) fn note(event: &str) {
    note_all(event, json!({}));
}

/// Notes an event with a value.
pub(crate) fn note_value(event: &str, value: impl Into<Value>) {
    note_all(event, json!({ "value": value.into() }));
}

/// Notes how a call has ended.
pub(crate) fn note_call<T: Plain>(event: &str, result: Result<T, Error>) {
    note_all(event, outcome(&result));
}

/// How a call has ended, as it stands in an event.
pub(crate) fn outcome<T: Plain>(result: &Result<T, Error>) -> Value {
    match result {
        Ok(value) => value.plain().map_or(json!({}), |value| json!({ "value": value })),
        Err(error) => error_words(error),
    }
}

/// What can be a result. Objects have no place in a trace.
pub(crate) trait Plain {
    fn plain(&self) -> Option<Value> {
        None
    }
}

impl Plain for () {}
impl Plain for u64 {}
impl Plain for LoopHandle {}
impl Plain for loophost::WatcherHandle {}

impl Plain for bool {
    fn plain(&self) -> Option<Value> {
        Some((*self).into())
    }
}

impl Plain for HandleId {
    fn plain(&self) -> Option<Value> {
        Some(true.into())
    }
}

/// The words that Python has for an error.
pub(crate) fn error_words(error: &Error) -> Value {
    let runtime = |reason| json!({ "error": "RuntimeError", "reason": reason });
    match error.code() {
        ErrorCode::LOOP_CLOSED => runtime("loop-closed"),
        ErrorCode::LOOP_RUNNING => runtime("loop-running"),
        ErrorCode::NO_CURRENT_LOOP => runtime("no-current-loop"),
        ErrorCode::NO_RUNNING_LOOP => runtime("no-running-loop"),
        ErrorCode::WRONG_THREAD => runtime("wrong-thread"),
        ErrorCode::INACTIVE => runtime("inactive"),
        ErrorCode::NOT_SUPPORTED => json!({ "error": "NotImplementedError" }),
        ErrorCode::INVALID_ARGUMENT => json!({ "error": "ValueError" }),
        ErrorCode::PROCESS_GONE => json!({ "error": "ProcessLookupError" }),
        ErrorCode::OS => json!({ "error": os_error(error.os_errno().unwrap_or(0)) }),
        // It has no word, so it is found in no recorded trace.
        _ => json!({ "error": error.to_string() }),
    }
}

/// The same for a program that could not be started.
pub(crate) fn spawn_error_words(error: &SpawnError) -> Value {
    match error {
        SpawnError::Watcher(error) => error_words(error),
        SpawnError::InvalidArgument { .. } => json!({ "error": "ValueError" }),
        SpawnError::NotFound { .. } => json!({ "error": "FileNotFoundError" }),
        SpawnError::NotExecutable { source, .. }
        | SpawnError::BadWorkingFolder { source, .. }
        | SpawnError::Os { source, .. } => json!({ "error": os_error(source.raw_os_error().unwrap_or(0)) }),
        _ => json!({ "error": error.to_string() }),
    }
}

/// The class of `OSError` that Python has for an errno.
pub(crate) fn os_error(errno: i32) -> &'static str {
    match errno {
        libc::ENOENT => "FileNotFoundError",
        libc::EACCES | libc::EPERM => "PermissionError",
        libc::ESRCH => "ProcessLookupError",
        libc::ECHILD => "ChildProcessError",
        libc::EISDIR => "IsADirectoryError",
        _ => "OSError",
    }
}

/// What our log lines are about.
const SUBJECTS: [(&str, &str); 7] = [
    ("unknown child process pid", "unknown-child"),
    ("exit status already read", "status-lost"),
    ("that handles pid", "loop-closed"),
    ("exception in a callback", "exception-in-callback"),
    ("executing", "slow-callback"),
    ("caught the exit of unknown children", "unknown-exit"),
    ("was detached from its loop with", "detached-with-pending"),
];

/// From now on deprecations and log lines of level warn and error are events, too.
pub(crate) fn listen() {
    tracing_subscriber::registry().with(Listener).init();
}

struct Listener;

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warning",
            _ => return,
        };
        if event.metadata().target() == "loophost::deprecated" {
            return note_value("deprecated", said.code.replace('_', "-"));
        }
        let subject = SUBJECTS.into_iter().find(|(part, _)| said.message.contains(part));
        // A line that has no word is found in no recorded trace.
        let subject = subject.map_or(&*said.message, |(_, word)| word);
        note_all("log", json!({ "level": level, "value": subject }));
    }
}

/// The fields of a log line that matter here.
#[derive(Default)]
struct Said {
    code: String,
    message: String,
}

impl tracing::field::Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "code" {
            self.code = value.to_owned();
        }
    }
}
