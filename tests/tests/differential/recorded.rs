//! The traces of CPython.

use std::{collections::BTreeMap, fs, path::PathBuf};

use loophost::policy::Profile;
use serde_json::Value;

/// Events in their order.
pub(crate) type Trace = Vec<Value>;

/// One version of CPython.
pub(crate) struct Version {
    /// As in `3.11`.
    pub(crate) number: &'static str,
    /// The profile that follows it.
    pub(crate) profile: Profile,
}

/// The versions that were recorded.
pub(crate) const VERSIONS: [Version; 5] = [
    Version { number: "3.7", profile: Profile::V3_7 },
    Version { number: "3.8", profile: Profile::V3_8 },
    Version { number: "3.9", profile: Profile::V3_9 },
    Version { number: "3.11", profile: Profile::V3_9 },
    Version { number: "3.12", profile: Profile::V3_12 },
];

/// The folder of the data.
pub(crate) fn folder() -> PathBuf {
    loophost_tests::workspace().join("tests/differential")
}

impl Version {
    /// Its traces by scenario; `None` where it has no such thing.
    pub(crate) fn traces(&self) -> BTreeMap<String, Option<Trace>> {
        let path = folder().join(format!("traces/cpython-{}.json", self.number));
        let file: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let scenarios = file["scenarios"].as_object().unwrap();
        scenarios.iter().map(|(name, trace)| (name.clone(), trace.as_array().cloned())).collect()
    }
}
