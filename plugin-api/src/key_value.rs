//! Descriptions: whatever may gain a field later crosses as a list of keys and values.

use std::{fmt, str::FromStr};

use abi_stable::{
    StableAbi,
    std_types::{RString, RVec},
};

use crate::Error;

/// One key and its value. A reader ignores the keys that it does not know.
#[repr(C)]
#[derive(StableAbi, Clone, PartialEq, Eq)]
pub struct KeyValue {
    key: RString,
    value: RString,
}

impl KeyValue {
    /// A pair; the value in the form that a person would type.
    pub fn new(key: &str, value: impl fmt::Display) -> Self {
        Self { key: key.into(), value: value.to_string().into() }
    }

    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The value.
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={:?}", self.key(), self.value())
    }
}

/// What crosses for a list of [`KeyValue`].
pub type KeyValues = RVec<KeyValue>;

/// The options given to a constructor, from `--policy-opt K=V` and `--watcher-opt K=V`.
///
/// The host has already refused the keys that the offer does not declare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options(Vec<KeyValue>);

impl Options {
    /// No options.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds an option; the last value of a key counts.
    pub fn push(&mut self, key: &str, value: impl fmt::Display) {
        self.0.push(KeyValue::new(key, value));
    }

    /// All pairs, in the order given.
    pub fn iter(&self) -> std::slice::Iter<'_, KeyValue> {
        self.0.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of `key`, as it was typed.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|pair| pair.key() == key).map(KeyValue::value)
    }

    /// The value of `key`, parsed; an error that names the option if it does not parse.
    pub fn parse<T>(&self, key: &str) -> Result<Option<T>, Error>
    where
        T: FromStr<Err: fmt::Display>,
    {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.parse().map(Some).map_err(|why| Error::invalid_argument(format!("option {key}={value}: {why}")))
    }

    #[doc(hidden)]
    pub fn from_abi(pairs: KeyValues) -> Self {
        Self(pairs.into_vec())
    }

    pub(crate) fn to_abi(&self) -> KeyValues {
        self.0.clone().into()
    }
}

impl<'a> IntoIterator for &'a Options {
    type Item = &'a KeyValue;
    type IntoIter = std::slice::Iter<'a, KeyValue>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
