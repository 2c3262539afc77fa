//! What is known of a job that has ended.

use std::{
    ffi::OsStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use loophost::ChildExit;
use serde::Serialize;

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
    /// Why it could not be started.
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
            start: millis(start),
            duration: 0.0,
            cpu: 0.0,
            timed_out: false,
            error: None,
        }
    }

    pub(super) fn finish(&mut self, returncode: i32, exit: Option<&ChildExit>, duration: Duration) {
        self.returncode = returncode;
        self.duration = micros(duration);
        self.cpu = micros(Duration::from_micros(exit.map_or(0, |exit| exit.utime_us + exit.stime_us)));
    }

    pub(super) fn has_failed(&self) -> bool {
        self.returncode != 0 || self.timed_out
    }
}

/// Seconds, with as many digits as are known.
fn millis(time: Duration) -> f64 {
    time.as_millis() as f64 / 1e3
}

fn micros(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e6
}
