//! Where log lines go: to standard error, or for a while to somebody else.

use std::{
    io::{self, Write},
    sync::{PoisonError, RwLock},
};

use super::stderr::LogLines;

static DIVERTED: RwLock<Option<Sink>> = RwLock::new(None);

type Sink = Box<dyn Fn(&[u8]) + Send + Sync>;

/// Gives log lines to `sink`, in whatever thread they are logged, until the diversion is dropped. It must log nothing.
#[must_use = "it ends when this is dropped"]
pub(crate) fn divert(sink: impl Fn(&[u8]) + Send + Sync + 'static) -> Diversion {
    *DIVERTED.write().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(sink));
    Diversion(())
}

/// See [`divert`].
#[derive(Debug)]
pub(crate) struct Diversion(());

impl Drop for Diversion {
    fn drop(&mut self) {
        *DIVERTED.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// What the subscriber writes to, each line by one call.
#[derive(Debug)]
pub(super) struct Destination;

impl Write for Destination {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match &*DIVERTED.read().unwrap_or_else(PoisonError::into_inner) {
            Some(sink) => sink(line),
            None => return LogLines.write(line),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
