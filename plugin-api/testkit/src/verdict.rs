//! How a case ends, and the words for what was expected.

use std::{fmt, io, panic::Location};

use loophost_plugin_api::{Error, ErrorCode};

/// What a case returns: it got to its end, or it did not.
pub(crate) type Verdict<T = Passed> = Result<T, NotPassed>;

/// Everything held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passed;

/// Why a case did not get to its end.
#[derive(Debug)]
pub(crate) enum NotPassed {
    Failed { message: String, place: &'static Location<'static> },
    Skipped { reason: String },
}

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything held.
    Passed,
    /// Something did not: what was expected, and what came.
    Failed(String),
    /// It says nothing about this subject or this machine, for that reason.
    Skipped(String),
}

impl From<Verdict> for Outcome {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Ok(Passed) => Self::Passed,
            Err(NotPassed::Skipped { reason }) => Self::Skipped(reason),
            Err(NotPassed::Failed { message, place }) => {
                let file = place.file().rsplit_once("src/").map_or(place.file(), |(_, file)| file);
                Self::Failed(format!("{message} (testkit {file}:{})", place.line()))
            }
        }
    }
}

impl From<Error> for NotPassed {
    #[track_caller]
    fn from(error: Error) -> Self {
        failed(format!("unexpected error {}: {error}", Code(error.code())))
    }
}

impl From<io::Error> for NotPassed {
    #[track_caller]
    fn from(error: io::Error) -> Self {
        failed(format!("unexpected error: {error}"))
    }
}

/// A failure.
#[track_caller]
pub(crate) fn failed(message: impl Into<String>) -> NotPassed {
    NotPassed::Failed { message: message.into(), place: Location::caller() }
}

/// The case says nothing here.
pub(crate) fn skipped(reason: impl Into<String>) -> NotPassed {
    NotPassed::Skipped { reason: reason.into() }
}

/// Fails with the message unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::verdict::failed(format!($($message)+)));
        }
    };
}
pub(crate) use ensure;

/// `what` must be `expected`.
#[track_caller]
pub(crate) fn equal<T: PartialEq<U> + fmt::Debug, U: fmt::Debug>(
    what: &str,
    got: T,
    expected: U,
) -> Verdict<()> {
    if got == expected {
        return Ok(());
    }
    Err(failed(format!("{what}: expected {expected:?}, got {got:?}")))
}

/// `what` must have failed with `code`.
#[track_caller]
pub(crate) fn refused<T>(what: &str, result: Result<T, Error>, code: ErrorCode) -> Verdict<()> {
    let expected = Code(code);
    match result {
        Err(error) if error.code() == code => Ok(()),
        Err(error) => {
            Err(failed(format!("{what}: expected the error {expected}, got {}: {error}", Code(error.code()))))
        }
        Ok(_) => Err(failed(format!("{what}: expected the error {expected}, but it worked"))),
    }
}

/// An error code by the name of its constant.
pub(crate) struct Code(pub(crate) ErrorCode);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            ErrorCode::OTHER => "OTHER",
            ErrorCode::PANICKED => "PANICKED",
            ErrorCode::NOT_SUPPORTED => "NOT_SUPPORTED",
            ErrorCode::OS => "OS",
            ErrorCode::INVALID_ARGUMENT => "INVALID_ARGUMENT",
            ErrorCode::LOOP_CLOSED => "LOOP_CLOSED",
            ErrorCode::LOOP_RUNNING => "LOOP_RUNNING",
            ErrorCode::NO_CURRENT_LOOP => "NO_CURRENT_LOOP",
            ErrorCode::NO_RUNNING_LOOP => "NO_RUNNING_LOOP",
            ErrorCode::WRONG_THREAD => "WRONG_THREAD",
            ErrorCode::BUSY => "BUSY",
            ErrorCode::REENTERED => "REENTERED",
            ErrorCode::FD_BUSY => "FD_BUSY",
            ErrorCode::INACTIVE => "INACTIVE",
            ErrorCode::PROCESS_GONE => "PROCESS_GONE",
            ErrorCode::NOT_FOUND => "NOT_FOUND",
            ErrorCode::FORKED => "FORKED",
            ErrorCode::LOOP_STOPPED => "LOOP_STOPPED",
            ErrorCode(other) => return write!(f, "{other:#x}"),
        };
        f.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_was_expected_and_where() {
        let Outcome::Failed(message) = Outcome::from(equal("the order", [1, 2], [2, 1]).map(|()| Passed))
        else {
            panic!("it must fail");
        };
        assert!(
            message.starts_with("the order: expected [2, 1], got [1, 2] (testkit verdict.rs:"),
            "{message}"
        );
    }

    #[test]
    fn an_error_of_another_kind_is_no_refusal() {
        let error = Error::new(ErrorCode::BUSY, "busy");
        let verdict = refused::<()>("close", Err(error), ErrorCode::LOOP_RUNNING);
        let Err(NotPassed::Failed { message, .. }) = verdict else { panic!("it must fail") };
        assert_eq!(message, "close: expected the error LOOP_RUNNING, got BUSY: busy");
    }
}
