//! Which rule of trust was broken, where, and what to do.

use std::{error, fmt, io, path::PathBuf};

/// Which file or folder others may change. Its `Display` is one or two lines: place and rule, and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distrust {
    /// The file, or a folder or link on the way to it.
    pub place: PathBuf,
    /// The rule that it breaks.
    pub rule: Rule,
}

/// A rule of trust, as it is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// It belongs to somebody else.
    Owner {
        /// The user that it belongs to.
        owner: u32,
        /// The user who is trusted besides root: the effective one.
        user: u32,
    },
    /// It is a symbolic link, and somebody else's.
    LinkOwner {
        /// The user that it belongs to.
        owner: u32,
        /// The user who is trusted besides root: the effective one.
        user: u32,
    },
    /// Everybody can write to it.
    WritableByOthers,
    /// A group can write to it that is not its owner's private one.
    WritableByGroup {
        /// The group.
        group: u32,
    },
    /// Its owner and mode cannot be read.
    Unknown(io::ErrorKind),
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place.display();
        match self.rule {
            Rule::Owner { owner, user } => write!(
                f,
                "{place} belongs to user {owner}, who could put any code there; it must be {}\n\
                 run `chown {} {place}`, or trust that user with --trust-owner {owner}",
                Whose(user),
                Name(user)
            ),
            Rule::LinkOwner { owner, user } => write!(
                f,
                "{place} is a link of user {owner}, who could make it lead elsewhere; it must be {}\n\
                 name the file that it leads to, or trust that user with --trust-owner {owner}",
                Whose(user)
            ),
            Rule::WritableByOthers => write!(
                f,
                "everybody can write to {place}, so anybody could put any code there\nrun `chmod o-w {place}`"
            ),
            Rule::WritableByGroup { group } => write!(
                f,
                "group {group} can write to {place}, so its members could put any code there\nrun `chmod g-w {place}`"
            ),
            Rule::Unknown(kind) => write!(f, "one cannot see who may write to {place}: {kind}"),
        }
    }
}

impl error::Error for Distrust {}

/// The owners that pass.
struct Whose(u32);

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("root's"),
            user => write!(f, "root's or user {user}'s"),
        }
    }
}

/// A user, as chown takes it.
struct Name(u32);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("root"),
            user => write!(f, "{user}"),
        }
    }
}
