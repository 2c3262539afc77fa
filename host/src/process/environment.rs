//! What a child finds in its environment.

use std::{
    collections::BTreeMap,
    env,
    ffi::{CString, OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
};

use super::SpawnError;

/// The parent's variables and what is different in the child.
#[derive(Clone, Debug, Default)]
pub(super) struct Environment {
    cleared: bool,
    /// `None` removes the variable.
    changes: BTreeMap<OsString, Option<OsString>>,
}

impl Environment {
    pub(super) fn clear(&mut self) {
        self.cleared = true;
        self.changes.clear();
    }

    pub(super) fn set(&mut self, name: OsString, value: OsString) {
        self.changes.insert(name, Some(value));
    }

    pub(super) fn remove(&mut self, name: OsString) {
        self.changes.insert(name, None);
    }

    /// The child's value of a variable.
    pub(super) fn get(&self, name: &str) -> Option<OsString> {
        match self.changes.get(OsStr::new(name)) {
            Some(change) => change.clone(),
            None if self.cleared => None,
            None => env::var_os(name),
        }
    }

    /// Refuses names that no variable can have; the kernel would take them and the child misread them.
    pub(super) fn check(&self) -> Result<(), SpawnError> {
        for name in self.changes.keys() {
            if name.is_empty() || name.as_bytes().contains(&b'=') {
                return Err(SpawnError::InvalidArgument {
                    what: format!("{name:?} cannot be the name of an environment variable"),
                });
            }
        }
        Ok(())
    }

    /// `NAME=value` for each variable.
    pub(super) fn to_strings(&self) -> Result<Vec<CString>, SpawnError> {
        let mut pairs: Vec<(OsString, OsString)> = if self.cleared {
            Vec::new()
        } else {
            env::vars_os().filter(|(name, _)| !self.changes.contains_key(name)).collect()
        };
        let set = self.changes.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
        pairs.extend(set);
        pairs.into_iter().map(|(name, value)| to_string(name, &value)).collect()
    }
}

fn to_string(name: OsString, value: &OsStr) -> Result<CString, SpawnError> {
    let mut bytes = name.into_vec();
    let name_len = bytes.len();
    bytes.push(b'=');
    bytes.extend_from_slice(value.as_bytes());
    CString::new(bytes).map_err(|error| SpawnError::InvalidArgument {
        what: format!(
            "the environment variable {:?} contains a NUL byte",
            OsStr::from_bytes(&error.into_vec()[..name_len])
        ),
    })
}
