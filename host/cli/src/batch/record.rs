//! What is known of a job that has ended.

use std::{
    borrow::Cow,
    ffi::OsStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use loophost::ChildExit;
use serde::Serialize;

use super::lines::LONGEST;

/// How many characters of a value are told.
const SHORT: usize = 60;

/// One line of `--json`.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Record {
    /// The job's number, from 1.
    pub(super) seq: u64,
    /// Its value; what is not UTF-8 is replaced.
    pub(super) value: String,
    /// Its pid; null if it could not be started.
    pub(super) pid: Option<i64>,
    /// 0 to 255, or −N if signal N ended it; 126 or 127 if it could not be started.
    pub(super) returncode: i32,
    /// When it started: seconds since 1970.
    pub(super) start: f64,
    /// How long it ran, in seconds.
    pub(super) duration: f64,
    /// The processor time it used, in seconds.
    pub(super) cpu: f64,
    /// Whether `--timeout` ended it.
    pub(super) timed_out: bool,
    /// Whether loophost ended it, because the batch was to end.
    pub(super) ended: bool,
    /// Why it could not be started, or its output not be kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

impl Record {
    /// A job that starts now.
    pub(super) fn new(seq: u64, value: &OsStr) -> Self {
        let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            seq,
            value: value.to_string_lossy().into_owned(),
            pid: None,
            returncode: 0,
            start: to_the_millisecond(start),
            duration: 0.0,
            cpu: 0.0,
            timed_out: false,
            ended: false,
            error: None,
        }
    }

    /// A job whose value is too long for any program; only its beginning is known.
    pub(super) fn too_long(seq: u64, beginning: &OsStr) -> Self {
        let mut record = Self::new(seq, beginning);
        record.value.push('…');
        let message = format!(
            "the value is longer than {LONGEST} bytes, the most that the system gives a program in one argument; values \
             that are separated by zero bytes need --null"
        );
        record.refuse(126, message);
        record
    }

    /// The job could not be started.
    pub(super) fn refuse(&mut self, returncode: i32, error: String) {
        self.returncode = returncode;
        self.error = Some(error);
    }

    /// The value as far as people want to read it.
    pub(super) fn short_value(&self) -> Cow<'_, str> {
        match self.value.char_indices().nth(SHORT) {
            Some((end, _)) => format!("{}…", &self.value[..end]).into(),
            None => self.value.as_str().into(),
        }
    }

    /// The job has ended.
    pub(super) fn finish(&mut self, returncode: i32, exit: Option<&ChildExit>, duration: Duration) {
        self.returncode = returncode;
        self.duration = to_the_microsecond(duration);
        self.cpu =
            to_the_microsecond(Duration::from_micros(exit.map_or(0, |exit| exit.utime_us + exit.stime_us)));
    }

    /// Whether it counts as failed, or as ended if loophost ended it.
    pub(super) fn has_failed(&self) -> bool {
        self.returncode != 0 || self.timed_out || self.error.is_some()
    }
}

/// Seconds, exact to a millisecond.
fn to_the_millisecond(time: Duration) -> f64 {
    time.as_millis() as f64 / 1e3
}

/// Seconds, exact to a microsecond.
fn to_the_microsecond(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e6
}
