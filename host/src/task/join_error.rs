//! Why a task has no output.

use std::{any::Any, error, fmt, sync::Mutex};

/// Why a task ended without an output: it was aborted, or it has panicked.
pub struct JoinError(Reason);

enum Reason {
    Cancelled,
    /// In a lock so that the error is `Sync` whatever the payload is.
    Panicked(Mutex<Box<dyn Any + Send>>),
}

impl JoinError {
    pub(super) fn cancelled() -> Self {
        Self(Reason::Cancelled)
    }

    pub(super) fn panicked(payload: Box<dyn Any + Send>) -> Self {
        Self(Reason::Panicked(Mutex::new(payload)))
    }

    /// Whether the task was aborted, or its loop closed (asyncio: `CancelledError`).
    pub fn is_cancelled(&self) -> bool {
        matches!(self.0, Reason::Cancelled)
    }

    /// Whether the task has panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self.0, Reason::Panicked(_))
    }

    /// What the task has panicked with, for [`resume_unwind`](std::panic::resume_unwind).
    ///
    /// # Errors
    /// The error itself if the task has not panicked.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send>, Self> {
        match self.0 {
            Reason::Panicked(payload) => Ok(payload.into_inner().unwrap_or_else(|error| error.into_inner())),
            Reason::Cancelled => Err(self),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reason::Panicked(payload) = &self.0 else { return f.write_str("the task was cancelled") };
        f.write_str("the task has panicked")?;
        let payload = payload.lock().unwrap_or_else(|error| error.into_inner());
        let text = payload.downcast_ref::<&str>().copied();
        match text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)) {
            Some(text) => write!(f, ": {text}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinError({self})")
    }
}

impl error::Error for JoinError {}
