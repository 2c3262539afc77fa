//! Who has said something: a flag, a variable, a line of a file.

use std::{fmt, path::Path, rc::Rc};

/// Who has said something, the strongest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Flag(&'static str),
    Environment(&'static str),
    /// A line of a configuration file.
    File(Rc<Path>, usize),
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Environment(name) => f.write_str(name),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value and who has given it.
#[derive(Clone, Debug)]
pub(crate) struct Said<T> {
    pub(crate) value: T,
    pub(crate) source: Source,
}

/// All that was said of one thing, the strongest first: that one counts, and it overrides the others.
#[derive(Clone, Debug)]
pub(crate) struct Layers<T>(Vec<Said<T>>);

impl<T> Layers<T> {
    pub(crate) fn strongest(&self) -> Option<&Said<T>> {
        self.0.first()
    }

    pub(crate) fn overridden(&self) -> &[Said<T>] {
        self.0.get(1..).unwrap_or_default()
    }
}

impl<T> FromIterator<Said<T>> for Layers<T> {
    fn from_iter<I: IntoIterator<Item = Said<T>>>(strongest_first: I) -> Self {
        Self(strongest_first.into_iter().collect())
    }
}
