//! The plugin path: every folder, every plugin, and why a file is none.

use std::{
    collections::HashSet,
    io::ErrorKind::{NotADirectory, NotFound},
    path::PathBuf,
};

use loophost::plugin::Listed;
use serde::Serialize;

use super::finding::Finding;
use crate::settings::Settings;

#[derive(Debug, Serialize)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    /// Who has put it on the path.
    pub(super) origin: String,
    pub(super) exists: bool,
    /// Why its plugins are not trusted, or why it cannot be searched.
    pub(super) rejected: Option<String>,
    pub(super) files: Vec<PluginFile>,
}

#[derive(Debug, Serialize)]
pub(super) struct PluginFile {
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// `policy poll`, `watcher quiet`.
    pub(super) offers: Vec<String>,
    /// Why it cannot be loaded.
    pub(super) rejected: Option<String>,
    /// Another file of this name comes before it, so this one is found by its path only.
    pub(super) shadowed: bool,
}

/// Reads all of the path; nothing of a plugin runs.
pub(super) fn folders(settings: &Settings) -> Vec<Folder> {
    let mut listed = settings.search.list(&settings.trust);
    let mut names = HashSet::new();
    let folders = settings.search.folders().iter().map(|folder| {
        let here = listed.extract_if(.., |listed| listed.path.parent() == Some(&folder.path));
        let files: Vec<_> = here.map(|listed| plugin_file(listed, &mut names)).collect();
        let (exists, rejected) = match folder.path.read_dir() {
            Err(error) if matches!(error.kind(), NotFound | NotADirectory) => (false, None),
            Err(error) => (true, Some(format!("it cannot be searched: {error}"))),
            Ok(_) => (true, settings.trust.check(&folder.path).err().map(|distrust| distrust.to_string())),
        };
        Folder { path: folder.path.clone(), origin: folder.origin.to_string(), exists, rejected, files }
    });
    folders.collect()
}

fn plugin_file(listed: Listed, names: &mut HashSet<String>) -> PluginFile {
    let Listed { name, path, inspected, .. } = listed;
    let (offers, rejected) = match inspected {
        Ok(inspected) => {
            let offers = &inspected.metadata.offers;
            (offers.iter().map(|offer| format!("{} {}", offer.kind.as_str(), offer.name)).collect(), None)
        }
        Err(error) => {
            let (error, own_name) = (error.to_string(), format!("{}: ", path.display()));
            (Vec::new(), Some(error.strip_prefix(&own_name).unwrap_or(&error).to_owned()))
        }
    };
    PluginFile { shadowed: !names.insert(name.clone()), name, path, offers, rejected }
}

/// One finding for all of it: the rest is in the list.
pub(super) fn findings(folders: &[Folder]) -> Vec<Finding> {
    let there = folders.iter().filter(|folder| folder.exists).count();
    let files = || folders.iter().flat_map(|folder| &folder.files);
    let rejected = files().filter(|file| file.rejected.is_some()).count();
    let usable = files().count() - rejected;
    let value =
        format!("{there} of {} folders there, {usable} plugins usable, {rejected} rejected", folders.len());
    let untrusted = folders.iter().any(|folder| folder.rejected.is_some());
    vec![if rejected > 0 || untrusted {
        Finding::warning("plugins.path", value, "the list of folders says why, and what to do")
    } else {
        Finding::ok("plugins.path", value)
    }]
}
