//! Who may change a plugin file: loading a plugin is running its code, so nobody but root and the user may.
//!
//! The rules hold for the file and for each folder above it, up to `/`, since whoever can write to a folder can put
//! another file in place:
//!
//! - it belongs to root, to the effective user, or to a further owner that the user trusts;
//! - others cannot write to it, nor can a group, unless it is the owner's private group (the same name as the
//!   owner's, and nobody else in it), for umask 002 lets that group write;
//! - a sticky folder may be writable, as `/tmp` is: what lies in it is safe if it qualifies itself.
//!
//! A symbolic link on the way counts too: whoever can replace it chooses which of the trusted files is used, an old one
//! with a known hole, say. So each link must have a trusted owner (its mode means nothing), and the folders that it lies
//! in must pass as the others must.
//!
//! With access control lists the group's bits are the mask, so a list that lets anybody write fails the group's rule.
//!
//! A program that has more rights than the user who started it (`AT_SECURE`) trusts root alone: with file capabilities
//! or set-group-ID the effective user is that very user.
//!
//! # Between the check and the use
//! Once all places on the way have passed, only those who are trusted can change what the path leads to. What was
//! opened after that is checked again, as it is open ([`Trust::check_open`]), and what the loader has mapped is compared
//! with it.

mod distrust;
mod places;

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use nix::unistd::{Gid, Group, Uid, User};

pub use distrust::{Distrust, Rule};
use places::Place;

use crate::sys::auxv;

const OTHERS_WRITE: u32 = 0o002;
const GROUP_WRITE: u32 = 0o020;
const STICKY: u32 = 0o1000;

/// Whose plugins are loaded: root's and the effective user's, and those of further owners.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    owners: Vec<u32>,
}

impl Trust {
    /// Root and the effective user; under `AT_SECURE` root alone.
    pub const fn new() -> Self {
        Self { owners: Vec::new() }
    }

    /// Trusts user `uid` as well.
    #[must_use]
    pub fn with_owner(mut self, uid: u32) -> Self {
        self.owners.push(uid);
        self
    }

    /// Whether nobody else can change what `path` leads to, which may be a file or a folder. Relative paths begin in the
    /// current folder, symbolic links are followed and count.
    ///
    /// # Errors
    /// The place nearest to the file that breaks a rule.
    pub fn check(&self, path: &Path) -> Result<(), Distrust> {
        self.resolve(path).map(drop)
    }

    /// As [`check`](Self::check); gives the canonical path, which has no links.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn resolve(&self, path: &Path) -> Result<PathBuf, Distrust> {
        self.resolve_on(&Os, path)
    }

    /// Whether the file that was opened, from `path`, passes: its owner and its mode.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn check_open(&self, path: &Path, file: &File) -> Result<(), Distrust> {
        let broken = |rule| Distrust { place: path.to_owned(), rule };
        let found = file.metadata().map_err(|error| broken(Rule::Unknown(error.kind())))?;
        self.rule_broken_by(&Os, Attributes::of(&found)).map_or(Ok(()), |rule| Err(broken(rule)))
    }

    fn resolve_on(&self, system: &impl System, path: &Path) -> Result<PathBuf, Distrust> {
        let unknown = |error: io::Error| Distrust { place: path.into(), rule: Rule::Unknown(error.kind()) };
        let path = std::path::absolute(path).map_err(unknown)?;
        let (canonical, places) = places::on_the_way(system, &path)?;
        let broken = |place: Place| {
            let rule = self.rule_broken_by(system, place.attributes)?;
            Some(Distrust { place: place.path, rule })
        };
        places.into_iter().rev().find_map(broken).map_or(Ok(canonical), Err)
    }

    fn rule_broken_by(&self, system: &impl System, place: Attributes) -> Option<Rule> {
        let user = system.trusted_user();
        let is_trusted = [0, user].contains(&place.owner) || self.owners.contains(&place.owner);
        match (place.kind, is_trusted) {
            (Kind::Link, false) => return Some(Rule::LinkOwner { owner: place.owner, user }),
            (_, false) => return Some(Rule::Owner { owner: place.owner, user }),
            // Nobody looks at the mode of a link.
            (Kind::Link, true) => return None,
            (Kind::Folder, true) if place.mode & STICKY != 0 => return None,
            (_, true) => {}
        }
        if place.mode & OTHERS_WRITE != 0 {
            return Some(Rule::WritableByOthers);
        }
        if place.mode & GROUP_WRITE != 0 && !system.is_private_group(place.group, place.owner) {
            return Some(Rule::WritableByGroup { group: place.group });
        }
        None
    }
}

/// Owner and mode of a file or folder.
#[derive(Clone, Copy, Debug)]
struct Attributes {
    owner: u32,
    group: u32,
    mode: u32,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    File,
    Folder,
    Link,
}

impl Attributes {
    fn of(found: &fs::Metadata) -> Self {
        let kind = match found.file_type() {
            kind if kind.is_dir() => Kind::Folder,
            kind if kind.is_symlink() => Kind::Link,
            _ => Kind::File,
        };
        Self { owner: found.uid(), group: found.gid(), mode: found.mode(), kind }
    }
}

/// What the rules ask of the operating system.
trait System {
    /// The user who is trusted besides root.
    fn trusted_user(&self) -> u32;
    /// Those of the link if it is one.
    fn attributes(&self, place: &Path) -> io::Result<Attributes>;
    fn read_link(&self, place: &Path) -> io::Result<PathBuf>;
    fn is_private_group(&self, group: u32, owner: u32) -> bool;
}

struct Os;

impl System for Os {
    fn trusted_user(&self) -> u32 {
        if auxv::is_secure() { 0 } else { Uid::effective().as_raw() }
    }

    fn attributes(&self, place: &Path) -> io::Result<Attributes> {
        fs::symlink_metadata(place).map(|found| Attributes::of(&found))
    }

    fn read_link(&self, place: &Path) -> io::Result<PathBuf> {
        fs::read_link(place)
    }

    /// By name too: where all users have `users` as their primary group, it lists no members.
    fn is_private_group(&self, group: u32, owner: u32) -> bool {
        let (Ok(Some(user)), Ok(Some(group))) =
            (User::from_uid(Uid::from_raw(owner)), Group::from_gid(Gid::from_raw(group)))
        else {
            return false;
        };
        user.gid == group.gid
            && user.name == group.name
            && group.mem.iter().all(|member| *member == user.name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const ME: u32 = 1000;
    const MY_GROUP: u32 = 1000;
    const STAFF: u32 = 50;
    const STRANGER: u32 = 1001;
    const FILE: &str = "/home/me/plugins/libx.so";

    /// Root's `/home`, and below it what is all mine and nobody else can write.
    struct Sample {
        user: u32,
        changed: HashMap<&'static str, (u32, u32, u32)>,
        links: HashMap<&'static str, &'static str>,
    }

    impl System for Sample {
        fn trusted_user(&self) -> u32 {
            self.user
        }

        fn attributes(&self, place: &Path) -> io::Result<Attributes> {
            let place = place.to_str().unwrap();
            let usual = if place.starts_with("/home/me") { (ME, MY_GROUP, 0o755) } else { (0, 0, 0o755) };
            let (owner, group, mode) = self.changed.get(place).copied().unwrap_or(usual);
            let kind = match place {
                FILE => Kind::File,
                _ if self.links.contains_key(place) => Kind::Link,
                _ => Kind::Folder,
            };
            Ok(Attributes { owner, group, mode, kind })
        }

        fn read_link(&self, place: &Path) -> io::Result<PathBuf> {
            Ok(self.links[place.to_str().unwrap()].into())
        }

        fn is_private_group(&self, group: u32, owner: u32) -> bool {
            group == MY_GROUP && owner == ME
        }
    }

    fn broken(
        trust: &Trust,
        user: u32,
        changed: &[(&'static str, (u32, u32, u32))],
    ) -> Option<(String, Rule)> {
        broken_on_the_way(trust, user, changed, &[], FILE)
    }

    fn broken_on_the_way(
        trust: &Trust,
        user: u32,
        changed: &[(&'static str, (u32, u32, u32))],
        links: &[(&'static str, &'static str)],
        path: &str,
    ) -> Option<(String, Rule)> {
        let (changed, links) = (changed.iter().copied().collect(), links.iter().copied().collect());
        let found = trust.resolve_on(&Sample { user, changed, links }, Path::new(path));
        if let Ok(canonical) = &found {
            assert_eq!(canonical, Path::new(FILE));
        }
        let distrust = found.err()?;
        let message = distrust.to_string();
        assert!(message.lines().count() <= 2 && message.contains(distrust.place.to_str()?), "{message}");
        Some((distrust.place.to_str()?.to_owned(), distrust.rule))
    }

    fn broken_by(place: &'static str, owner: u32, group: u32, mode: u32) -> Option<(String, Rule)> {
        broken(&Trust::new(), ME, &[(place, (owner, group, mode))])
    }

    #[test]
    fn mine_below_roots_is_trusted() {
        assert_eq!(broken(&Trust::new(), ME, &[]), None);
        assert_eq!(broken_by(FILE, 0, 0, 0o644), None);
        assert_eq!(broken_by("/elsewhere", STRANGER, STAFF, 0o777), None);
    }

    #[test]
    fn a_strangers_file_or_folder_is_not() {
        let rule = Rule::Owner { owner: STRANGER, user: ME };
        for place in [FILE, "/home/me", "/"] {
            assert_eq!(broken_by(place, STRANGER, 0, 0o755), Some((place.into(), rule.clone())));
        }
    }

    #[test]
    fn root_trusts_only_root_and_those_it_names() {
        let rule = Rule::Owner { owner: ME, user: 0 };
        assert_eq!(broken(&Trust::new(), 0, &[]), Some((FILE.into(), rule)));
        assert_eq!(broken(&Trust::new().with_owner(ME), 0, &[]), None);
    }

    #[test]
    fn nobody_else_may_write() {
        for place in [FILE, "/home/me/plugins", "/home"] {
            let rule = Rule::WritableByOthers;
            assert_eq!(broken_by(place, ME, MY_GROUP, 0o757), Some((place.into(), rule)));
            let rule = Rule::WritableByGroup { group: STAFF };
            assert_eq!(broken_by(place, ME, STAFF, 0o775), Some((place.into(), rule)));
        }
    }

    #[test]
    fn a_private_group_may_write_to_its_owners_files_only() {
        assert_eq!(broken_by(FILE, ME, MY_GROUP, 0o664), None);
        let rule = Rule::WritableByGroup { group: MY_GROUP };
        assert_eq!(broken_by(FILE, 0, MY_GROUP, 0o664), Some((FILE.into(), rule)));
    }

    #[test]
    fn a_sticky_folder_may_be_writable_but_not_a_strangers_or_a_sticky_file() {
        assert_eq!(broken_by("/home", 0, 0, 0o1777), None);
        assert!(broken_by("/home", STRANGER, 0, 0o1777).is_some());
        assert_eq!(broken_by(FILE, ME, MY_GROUP, 0o1777), Some((FILE.into(), Rule::WritableByOthers)));
    }

    #[test]
    fn links_count_and_so_do_the_folders_that_they_lie_in() {
        let links = [("/srv/x.so", "/opt/current/libx.so"), ("/opt/current", "../home/./me/plugins")];
        let broken = |changed: &[_]| broken_on_the_way(&Trust::new(), ME, changed, &links, "/srv/x.so");
        assert_eq!(broken(&[]), None);
        assert_eq!(broken(&[("/srv/x.so", (0, 0, 0o777))]), None);
        let owner = Rule::LinkOwner { owner: STRANGER, user: ME };
        for link in ["/srv/x.so", "/opt/current"] {
            assert_eq!(broken(&[(link, (STRANGER, 0, 0o777))]), Some((link.into(), owner.clone())));
        }
        for folder in ["/srv", "/opt", "/home", "/home/me/plugins"] {
            assert_eq!(broken(&[(folder, (0, 0, 0o777))]), Some((folder.into(), Rule::WritableByOthers)),);
        }
        // Anybody can put a link into a sticky folder, and only its owner can replace it.
        assert_eq!(broken(&[("/srv", (0, 0, 0o1777))]), None);
    }

    #[test]
    fn links_in_a_circle_are_refused() {
        let links = [("/a", "b"), ("/b", "a")];
        let broken = broken_on_the_way(&Trust::new(), ME, &[], &links, "/a");
        assert!(matches!(broken, Some((_, Rule::Unknown(_)))), "{broken:?}");
    }

    #[test]
    fn what_is_not_there_is_not_trusted() {
        let distrust = Trust::new().check(Path::new("/no/such/file")).unwrap_err();
        assert_eq!(distrust.rule, Rule::Unknown(io::ErrorKind::NotFound));
    }
}
