//! Sets of signals.

use std::fmt;

/// A set of the signals 1 to 64.
///
/// ```
/// use loophost::process::SignalSet;
///
/// let pipe = SignalSet::EMPTY.with(13);
/// assert!(pipe.contains(13) && !SignalSet::ALL.without(pipe).contains(13));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SignalSet(u64);

impl SignalSet {
    /// No signal.
    pub const EMPTY: Self = Self(0);
    /// Every signal.
    pub const ALL: Self = Self(u64::MAX);

    /// From the kernel's form, as in the lines `SigBlk` and `SigIgn` of `/proc/PID/status`: bit N − 1 is signal N.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The kernel's form.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The set and `signum`, if that is the number of a signal.
    #[must_use]
    pub const fn with(self, signum: i32) -> Self {
        Self(self.0 | bit(signum))
    }

    /// The set without what is in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether `signum` is in the set.
    pub const fn contains(self, signum: i32) -> bool {
        self.0 & bit(signum) != 0
    }

    /// The signals that are in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The numbers in the set, the lowest first.
    pub fn iter(self) -> impl Iterator<Item = i32> {
        (1..=64).filter(move |signum| self.contains(*signum))
    }
}

const fn bit(signum: i32) -> u64 {
    if matches!(signum, 1..=64) { 1 << (signum - 1) } else { 0 }
}

impl FromIterator<i32> for SignalSet {
    fn from_iter<T: IntoIterator<Item = i32>>(signals: T) -> Self {
        signals.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl fmt::Debug for SignalSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
