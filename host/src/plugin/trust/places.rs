//! The places that a path leads through.

use std::{
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
};

use super::{Attributes, Distrust, Kind, Rule, System};

/// As many links as the kernel follows.
const MOST_LINKS: usize = 40;

/// A folder, a link, or the file at the end.
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) attributes: Attributes,
}

/// The canonical path, and every place on the way there in the order in which the kernel comes to them: each folder from
/// `/` on, each link, and the folders that the link leads through.
pub(super) fn on_the_way(system: &impl System, path: &Path) -> Result<(PathBuf, Vec<Place>), Distrust> {
    let unknown = |place: &Path, error: io::Error| {
        let rule = Rule::Unknown(error.kind());
        Distrust { place: place.to_owned(), rule }
    };
    let look = |path: PathBuf| match system.attributes(&path) {
        Ok(attributes) => Ok(Place { path, attributes }),
        Err(error) => Err(unknown(&path, error)),
    };
    let root = PathBuf::from("/");
    let mut places = vec![look(root.clone())?];
    let mut here = root.clone();
    // What is still to go, the next one last.
    let mut ahead = reversed(path);
    let mut links = 0;
    while let Some(name) = ahead.pop() {
        if name == OsStr::new("/") {
            here.clone_from(&root);
            continue;
        }
        if name == OsStr::new("..") {
            here.pop();
            continue;
        }
        let place = look(here.join(name))?;
        if place.attributes.kind == Kind::Link {
            links += 1;
            if links > MOST_LINKS {
                return Err(unknown(&place.path, io::Error::from_raw_os_error(libc::ELOOP)));
            }
            let target = system.read_link(&place.path).map_err(|error| unknown(&place.path, error))?;
            ahead.extend(reversed(&target));
        } else {
            here.clone_from(&place.path);
        }
        places.push(place);
    }
    Ok((here, places))
}

/// The parts of a path, the first one last: `/` if it is absolute, names and `..`.
fn reversed(path: &Path) -> Vec<OsString> {
    let parts = path.components().map(|part| part.as_os_str()).filter(|part| *part != OsStr::new("."));
    parts.rev().map(OsStr::to_owned).collect()
}
