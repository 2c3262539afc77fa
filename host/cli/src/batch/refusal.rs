//! What it means that a program could not be started.

use loophost::process::{SpawnError, SpawnErrorKind};

/// For whom a program could not be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// For nobody at the moment: what was missing may come back, when a job ends if one runs.
    ForNow,
    /// For this job; another one may do.
    OfThisOne,
    /// For all jobs of this batch.
    OfAll,
}

impl Refusal {
    /// `has_fixed_program`: all jobs run the same one; `may_wait`: something may come back.
    pub(super) fn new(error: &SpawnError, has_fixed_program: bool, may_wait: bool) -> Self {
        match (error, errno(error)) {
            (SpawnError::Os { .. }, Some(libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE)) => {
                if may_wait {
                    Self::ForNow
                } else {
                    Self::OfAll
                }
            }
            (SpawnError::Os { .. }, Some(libc::E2BIG)) => Self::OfThisOne,
            // Somebody is writing the program at this moment.
            (SpawnError::NotExecutable { .. }, Some(libc::ETXTBSY)) => Self::OfThisOne,
            (SpawnError::NotFound { .. } | SpawnError::NotExecutable { .. }, _) if !has_fixed_program => {
                Self::OfThisOne
            }
            // A value with a zero byte in it.
            (SpawnError::InvalidArgument { .. }, _) => Self::OfThisOne,
            _ => Self::OfAll,
        }
    }
}

/// Why a job could not be started, for its record, and with what returncode.
pub(super) fn reason(error: &SpawnError) -> (i32, String) {
    let returncode = if error.kind() == SpawnErrorKind::NotFound { 127 } else { 126 };
    let message = match errno(error) {
        Some(libc::E2BIG) => format!(
            "{error}: the command with this value, or together with the environment, is longer than the system allows; \
             have the program read the value from a file"
        ),
        _ => error.to_string(),
    };
    (returncode, message)
}

fn errno(error: &SpawnError) -> Option<i32> {
    match error {
        SpawnError::Os { source, .. } | SpawnError::NotExecutable { source, .. } => source.raw_os_error(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn os(errno: i32) -> SpawnError {
        SpawnError::Os { what: "testing", source: io::Error::from_raw_os_error(errno) }
    }

    fn not_executable(errno: i32) -> SpawnError {
        let source = io::Error::from_raw_os_error(errno);
        SpawnError::NotExecutable { path: "x".into(), interpreter: None, source }
    }

    #[test]
    fn one_job_does_not_end_a_batch_and_what_concerns_all_does() {
        assert_eq!(Refusal::new(&os(libc::EMFILE), true, true), Refusal::ForNow);
        assert_eq!(Refusal::new(&os(libc::EMFILE), true, false), Refusal::OfAll);
        assert_eq!(Refusal::new(&os(libc::EPERM), true, true), Refusal::OfAll);
        for (error, fixed, other) in [
            (os(libc::E2BIG), Refusal::OfThisOne, Refusal::OfThisOne),
            (not_executable(libc::ETXTBSY), Refusal::OfThisOne, Refusal::OfThisOne),
            (not_executable(libc::EACCES), Refusal::OfAll, Refusal::OfThisOne),
            (not_executable(libc::ELOOP), Refusal::OfAll, Refusal::OfThisOne),
            (SpawnError::InvalidArgument { what: "x".into() }, Refusal::OfThisOne, Refusal::OfThisOne),
        ] {
            assert_eq!(Refusal::new(&error, true, true), fixed, "{error}");
            assert_eq!(Refusal::new(&error, false, true), other, "{error}");
        }
    }
}
