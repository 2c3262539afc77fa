//! The two outputs of a job.

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl Stream {
    pub(super) const BOTH: [Self; 2] = [Self::Out, Self::Err];
}
