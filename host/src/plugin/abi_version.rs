//! Versions of the ABI, and which go together.

use std::fmt;

/// A version of the ABI between host and plugin: not that of loophost, nor that of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbiVersion {
    /// Another major is another ABI.
    pub major: u32,
    /// Within a major from 1 on, a minor only adds.
    pub minor: u32,
}

impl AbiVersion {
    /// The lowest version of a host for a plugin that was built for this one and says that it needs `minor`.
    pub(super) fn lowest_host(self, minor: u32) -> Self {
        // While it is 0.N, each N may break, whatever the plugin says.
        let minor = if self.major == 0 { minor.max(self.minor) } else { minor };
        Self { minor, ..self }
    }

    /// Whether a host of this version takes a plugin that needs the version `lowest`.
    pub(super) fn serves(self, lowest: Self) -> bool {
        self.major == lowest.major
            && if self.major == 0 { self.minor == lowest.minor } else { self.minor >= lowest.minor }
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

    fn takes(host: (u32, u32), plugin: (u32, u32), needs: u32) -> bool {
        let version = |(major, minor)| AbiVersion { major, minor };
        version(host).serves(version(plugin).lowest_host(needs))
    }

    #[test]
    fn below_1_0_only_the_same_minor() {
        assert!(takes((0, 3), (0, 3), 3));
        assert!(takes((0, 3), (0, 3), 1));
        assert!(!takes((0, 3), (0, 2), 2));
        assert!(!takes((0, 3), (0, 4), 3));
        assert!(!takes((0, 3), (0, 3), 4), "it needs more than it was built for");
        assert!(!takes((0, 3), (1, 3), 0));
    }

    #[test]
    fn from_1_0_whatever_needs_no_more_than_there_is() {
        assert!(takes((1, 3), (1, 0), 0));
        assert!(takes((1, 3), (1, 5), 3));
        assert!(!takes((1, 3), (1, 5), 4));
        assert!(!takes((1, 3), (2, 3), 3));
        assert!(!takes((1, 3), (0, 3), 3));
    }
}
