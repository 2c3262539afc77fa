//! Versions of the ABI, and which go together.

use std::fmt;

/// A version of the ABI between host and plugin: not that of loophost, nor that of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbiVersion {
    /// Another major is another ABI.
    pub major: u32,
    /// Within a major, a minor only adds.
    pub minor: u32,
}

impl AbiVersion {
    /// Whether a host of this version takes a plugin that needs the version `lowest`.
    pub(super) fn serves(self, lowest: Self) -> bool {
        self.major == lowest.major && self.minor >= lowest.minor
    }
}

impl fmt::Display for AbiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_serves_whatever_needs_no_more_than_there_is() {
        let takes = |host: (u32, u32), lowest: (u32, u32)| {
            let version = |(major, minor)| AbiVersion { major, minor };
            version(host).serves(version(lowest))
        };
        assert!(takes((1, 3), (1, 0)));
        assert!(takes((1, 3), (1, 3)));
        assert!(!takes((1, 3), (1, 4)));
        assert!(!takes((1, 3), (2, 3)));
        assert!(!takes((1, 3), (0, 3)));
    }
}
