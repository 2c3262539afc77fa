//! A user, as `--trust-owner` and the configuration file name one.

use std::{fmt, str::FromStr};

use nix::unistd::User;

/// A user's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner(pub(crate) u32);

impl FromStr for Owner {
    type Err = String;

    /// A number, or the name of a user of this system.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            // What chown(2) takes for "do not change".
            Ok(u32::MAX) => return Err(format!("{text} is nobody's number")),
            Ok(uid) => return Ok(Self(uid)),
            Err(_) => {}
        }
        match User::from_name(text) {
            Ok(Some(user)) => Ok(Self(user.uid.as_raw())),
            Ok(None) => Err(format!("there is no user `{text}`; give a name from /etc/passwd or a number")),
            Err(errno) => Err(format!("looking up user `{text}`: {}; give the number", errno.desc())),
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
