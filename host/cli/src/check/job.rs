//! One case on one offer.

use std::{fmt, str::FromStr};

use loophost::OfferKind;
use loophost_testkit::Case;

/// A case, and what it is run on.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) case: &'static Case,
    /// `None`: the plugin itself.
    pub(super) offer: Option<OfferName>,
}

/// Which offer of a plugin: `policy:NAME` or `watcher:NAME` on the command line, with a space for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OfferName {
    pub(super) kind: OfferKind,
    pub(super) name: String,
}

impl OfferName {
    /// As [`FromStr`] reads it.
    pub(super) fn argument(&self) -> String {
        format!("{}:{}", self.kind.as_str(), self.name)
    }
}

impl FromStr for OfferName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, name) = match text.split_once(':') {
            Some(("policy", name)) => (OfferKind::Policy, name),
            Some(("watcher", name)) => (OfferKind::Watcher, name),
            _ => return Err("it must be policy:NAME or watcher:NAME".to_owned()),
        };
        Ok(Self { kind, name: name.to_owned() })
    }
}

impl fmt::Display for OfferName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)
    }
}
