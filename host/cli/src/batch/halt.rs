//! `--halt`: when failures end the batch.

use std::{num::NonZeroU64, str::FromStr};

/// What to do once so many jobs have failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Halt {
    /// How.
    pub(super) when: When,
    /// After how many failures.
    pub(super) failures: NonZeroU64,
}

/// How a batch is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Running jobs are ended too.
    Now,
    /// Running jobs may finish.
    Soon,
}

impl FromStr for Halt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (when, rest) = text.split_once(',').unwrap_or((text, "fail=1"));
        let when = match when {
            "now" => Some(When::Now),
            "soon" => Some(When::Soon),
            _ => None,
        };
        let failures = rest.strip_prefix("fail=").and_then(|count| count.parse().ok());
        match (when, failures) {
            (Some(when), Some(failures)) => Ok(Self { when, failures }),
            _ => Err("it must be now or soon, and ,fail=N for more than one failure: soon,fail=3".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_are_understood() {
        let halt = |text: &str| text.parse::<Halt>().map(|halt| (halt.when, halt.failures.get()));
        assert_eq!(halt("now"), Ok((When::Now, 1)));
        assert_eq!(halt("soon,fail=3"), Ok((When::Soon, 3)));
        for wrong in ["", "later", "now,fail=0", "now,fail=x", "soon,done=3", "now,"] {
            assert!(halt(wrong).is_err(), "{wrong}");
        }
    }
}
