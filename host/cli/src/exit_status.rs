//! Exit statuses, decided in one function.

use loophost::process::SpawnErrorKind;

/// How a command of loophost ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It did what it was asked to.
    Done,
    /// `doctor` has found a problem, or `plugin check` a failure.
    Problem,
    /// The child has ended, with this returncode: 0..255, or −N when signal N ended it.
    Exited(i32),
    /// The child could not be started.
    NotStarted(SpawnErrorKind),
    /// Some jobs of a batch have failed.
    JobsFailed,
    /// A batch was stopped by `--halt`.
    Halted,
    /// loophost itself failed; nothing is running.
    Failed,
}

impl Outcome {
    /// The one of two that the caller must know of first, by the order in [`of`]; of two alike the first one.
    pub(crate) fn or_worse(self, later: Self) -> Self {
        if later.rank() > self.rank() { later } else { self }
    }

    fn rank(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Problem | Self::JobsFailed => 1,
            Self::Halted => 2,
            Self::NotStarted(SpawnErrorKind::NotFound | SpawnErrorKind::NotExecutable) => 3,
            Self::Exited(_) => 4,
            Self::NotStarted(SpawnErrorKind::Failed) | Self::Failed => 5,
        }
    }
}

/// The statuses, as in the README:
///
/// | status | meaning |
/// |---|---|
/// | 0..255 | the child's own |
/// | 128 + N | signal N ended the child |
/// | 127 | the program was not found |
/// | 126 | the program cannot be executed |
/// | 125 | loophost itself failed |
/// | 124 | `batch`: stopped by `--halt` |
/// | 123 | `batch`: some jobs have failed |
///
/// Of several that fit a batch the first in this order counts: 125, because something may have been lost; 128 + N, because
/// whoever has sent the signal does not want the caller to go on either; 126 and 127; 124; 123.
///
/// `doctor` and `plugin check`: 0, or 1 if a problem was found.
///
/// At a terminal `run` ends by SIGINT if the child did, which a shell shows as 130.
pub(crate) fn of(outcome: &Outcome) -> u8 {
    match *outcome {
        Outcome::Done => 0,
        Outcome::Problem => 1,
        Outcome::Exited(returncode @ 0..=255) => returncode as u8,
        Outcome::Exited(returncode) if (-127..0).contains(&returncode) => (128 - returncode) as u8,
        Outcome::NotStarted(SpawnErrorKind::NotFound) => 127,
        Outcome::NotStarted(SpawnErrorKind::NotExecutable) => 126,
        Outcome::JobsFailed => 123,
        Outcome::Halted => 124,
        Outcome::NotStarted(SpawnErrorKind::Failed) | Outcome::Failed | Outcome::Exited(_) => 125,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        let statuses = [
            (Outcome::Done, 0),
            (Outcome::Problem, 1),
            (Outcome::Exited(0), 0),
            (Outcome::Exited(3), 3),
            (Outcome::Exited(255), 255),
            (Outcome::Exited(-9), 137),
            (Outcome::Exited(-64), 192),
            (Outcome::NotStarted(SpawnErrorKind::NotFound), 127),
            (Outcome::NotStarted(SpawnErrorKind::NotExecutable), 126),
            (Outcome::NotStarted(SpawnErrorKind::Failed), 125),
            (Outcome::Failed, 125),
            (Outcome::JobsFailed, 123),
            (Outcome::Halted, 124),
        ];
        for (outcome, status) in statuses {
            assert_eq!(of(&outcome), status, "{outcome:?}");
        }
    }

    #[test]
    fn the_worse_one_counts_and_of_two_alike_the_first() {
        let not_found = Outcome::NotStarted(SpawnErrorKind::NotFound);
        let not_started = Outcome::NotStarted(SpawnErrorKind::Failed);
        let order = [Outcome::Done, Outcome::JobsFailed, Outcome::Halted, not_found, Outcome::Exited(-15)];
        for failed in [Outcome::Failed, not_started] {
            let order = [order.as_slice(), &[failed]].concat();
            for (n, milder) in order.iter().enumerate() {
                for worse in &order[n..] {
                    assert_eq!(milder.or_worse(*worse), *worse);
                    assert_eq!(worse.or_worse(*milder), *worse);
                }
            }
        }
        assert_eq!(Outcome::Exited(-2).or_worse(Outcome::Exited(-15)), Outcome::Exited(-2));
    }
}
