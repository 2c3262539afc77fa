//! What a descriptor is watched for.

use abi_stable::StableAbi;

use crate::{Error, ErrorCode};

/// A set of directions, as bits: what is asked for and what is ready. A loop refuses to watch for bits that it does not
/// know.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Interest(pub u32);

impl Interest {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Reading does not block; also set by end-of-file and errors.
    pub const READ: Self = Self(1);
    /// Writing does not block; also set when the other end is gone.
    pub const WRITE: Self = Self(1 << 1);
    /// Both directions.
    pub const BOTH: Self = Self(3);

    /// What a loop does with the bits that it is asked for and does not know, so that its caller can do without them.
    ///
    /// # Errors
    /// `NotSupported` if there are any.
    #[inline]
    pub fn check_known(self) -> Result<(), Error> {
        if Self::BOTH.contains(self) { Ok(()) } else { Err(self.unknown_bits()) }
    }

    #[cold]
    fn unknown_bits(self) -> Error {
        let message =
            format!("interest {:#x} has unknown bits: this loop knows READ (1) and WRITE (2)", self.0);
        Error::new(ErrorCode::NOT_SUPPORTED, message)
    }

    /// Whether every direction of `other` is in the set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What is in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}
