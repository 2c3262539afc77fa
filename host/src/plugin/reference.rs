//! What one writes after `--policy` and `--watcher`.

use std::{
    error,
    ffi::{OsStr, OsString},
    fmt,
    os::unix::ffi::OsStrExt,
    path::{MAIN_SEPARATOR, PathBuf},
};

/// Names a policy or watcher: a built-in, or what a plugin offers.
///
/// - `selector`: a built-in, if the host has one by that name;
/// - `poll`: a plugin, looked up on the [`SearchPath`](super::SearchPath);
/// - `./libpoll.so`: a file, because there is a slash;
/// - `poll#sandboxed`, `./libpoll.so#sandboxed`: one of several offers. What follows the last `#` is the offer unless
///   there is a slash in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Where it comes from.
    pub target: Target,
    /// Which offer of the plugin; `None`: the only one.
    pub offer: Option<String>,
}

/// What the part before `#` means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A built-in of the host.
    BuiltIn(String),
    /// A plugin on the search path.
    Name(String),
    /// A plugin file.
    Path(PathBuf),
}

impl Reference {
    /// Reads what was written. `built_in` are the names that the host knows itself; they come before plugins.
    ///
    /// # Errors
    /// It can be neither a name nor a path.
    pub fn parse(value: &OsStr, built_in: &[&str]) -> Result<Self, ReferenceError> {
        let bytes = value.as_bytes();
        let split = bytes.iter().rposition(|byte| *byte == b'#').filter(|at| !is_path(&bytes[*at..]));
        let (target, offer) = split.map_or((bytes, None), |at| (&bytes[..at], Some(&bytes[at + 1..])));
        let wrong = |problem| ReferenceError { value: value.to_owned(), problem };
        let offer = offer.map(|offer| name(offer).ok_or_else(|| wrong(Problem::Offer))).transpose()?;
        let target = if is_path(target) {
            Target::Path(OsStr::from_bytes(target).into())
        } else {
            let name = name(target).ok_or_else(|| wrong(Problem::Name))?;
            if built_in.contains(&&*name) { Target::BuiltIn(name) } else { Target::Name(name) }
        };
        match (&target, &offer) {
            (Target::BuiltIn(_), Some(_)) => Err(wrong(Problem::OfferOfBuiltIn)),
            _ => Ok(Self { target, offer }),
        }
    }
}

fn is_path(bytes: &[u8]) -> bool {
    bytes.contains(&(MAIN_SEPARATOR as u8))
}

/// Letters, digits and `-_.`, so that a name is neither an option nor a trick of a file system.
fn name(bytes: &[u8]) -> Option<String> {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let fits = bytes.first().is_some_and(u8::is_ascii_alphanumeric) && bytes.iter().all(allowed);
    fits.then(|| String::from_utf8_lossy(bytes).into_owned())
}

impl Reference {
    /// As it is written: [`parse`](Self::parse) gives the same again.
    pub fn to_os_string(&self) -> OsString {
        let mut written = match &self.target {
            Target::BuiltIn(name) | Target::Name(name) => name.into(),
            Target::Path(path) => path.clone().into_os_string(),
        };
        if let Some(offer) = &self.offer {
            written.push("#");
            written.push(offer);
        }
        written
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_os_string().display())
    }
}

/// What was written can be neither a name nor a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceError {
    value: OsString,
    problem: Problem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Problem {
    Name,
    Offer,
    OfferOfBuiltIn,
}

impl fmt::Display for ReferenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value.display();
        match self.problem {
            Problem::Name => write!(
                f,
                "`{value}` is no name of a plugin (letters, digits, `-`, `_`, `.`); a path has a slash, as in ./FILE"
            ),
            Problem::Offer => write!(f, "`{value}`: what follows # must be a name that the plugin offers"),
            Problem::OfferOfBuiltIn => {
                write!(f, "`{value}`: a built-in has no choice of offers; leave out the #")
            }
        }
    }
}

impl error::Error for ReferenceError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> Result<Reference, ReferenceError> {
        let parsed = Reference::parse(value.as_ref(), &["default"]);
        if let Ok(reference) = &parsed {
            assert_eq!(reference.to_string(), value);
        }
        parsed
    }

    fn reference(target: Target, offer: Option<&str>) -> Result<Reference, ReferenceError> {
        Ok(Reference { target, offer: offer.map(Into::into) })
    }

    #[test]
    fn names_paths_and_offers_are_told_apart() {
        let path = |path: &str| Target::Path(path.into());
        assert_eq!(parse("default"), reference(Target::BuiltIn("default".into()), None));
        assert_eq!(parse("io-uring"), reference(Target::Name("io-uring".into()), None));
        assert_eq!(parse("poll#a.1"), reference(Target::Name("poll".into()), Some("a.1")));
        assert_eq!(parse("./libpoll.so"), reference(path("./libpoll.so"), None));
        assert_eq!(parse("/a#b/libpoll.so"), reference(path("/a#b/libpoll.so"), None));
        assert_eq!(parse("/a#b/libpoll.so#c"), reference(path("/a#b/libpoll.so"), Some("c")));
        assert_eq!(parse("./default"), reference(path("./default"), None));
    }

    #[test]
    fn a_path_need_not_be_utf8() {
        let value = OsStr::from_bytes(b"./\xff.so#x");
        let parsed = Reference::parse(value, &[]).unwrap();
        assert_eq!(parsed.to_os_string(), value);
        assert_eq!(parsed.target, Target::Path(OsStr::from_bytes(b"./\xff.so").into()));
    }

    #[test]
    fn anything_else_is_refused_in_a_line() {
        for value in ["", "#x", "poll#", "poll# ", "-x", ".hidden", "two words", "default#x", "./x.so#"] {
            let message = parse(value).unwrap_err().to_string();
            assert!(message.lines().count() == 1 && message.contains(value), "{message}");
        }
    }
}
