//! What is to be checked: a plugin, found and inspected; none of its code has run.

use std::{
    error::Error,
    ffi::{OsStr, OsString},
    fmt,
    path::PathBuf,
};

use loophost::{
    Metadata, builtin,
    plugin::{self, Reference, Target as Where},
};

use super::job::OfferName;
use crate::{
    args::OfferOptions,
    settings::{self, Settings},
};

/// A plugin file, or a built-in.
#[derive(Debug)]
pub(super) struct Target {
    /// The canonical path; `None`: built in.
    pub(super) path: Option<PathBuf>,
    pub(super) metadata: Metadata,
    /// What of it is checked.
    pub(super) offers: Vec<OfferName>,
}

impl Target {
    /// Finds what one writes after `plugin check`.
    ///
    /// # Errors
    /// There is no such plugin, it may not be loaded, or it has no such offer or option.
    pub(super) fn find(
        written: &OsStr,
        options: &OfferOptions,
        settings: &Settings,
    ) -> Result<Self, Box<dyn Error>> {
        let built_in: Vec<_> = builtin::POLICIES.into_iter().chain(builtin::WATCHERS).collect();
        let reference = Reference::parse(written, &built_in)?;
        let (path, wanted) = match reference.target {
            Where::BuiltIn(name) => {
                let built_in = builtin::plugin();
                let target = Self::new(None, built_in.metadata().clone(), Some(&name))?;
                for OfferName { kind, name } in &target.offers {
                    built_in.offer_for(*kind, Some(name), &options.of(*kind))?;
                }
                return Ok(target);
            }
            Where::Path(path) => {
                settings::refuse_if_secure("a path")?;
                (path, reference.offer)
            }
            Where::Name(name) => (settings.search.find(&name, &built_in)?.path, reference.offer),
        };
        let inspected = plugin::inspect(&path)?;
        inspected.check_trust(&settings.trust).and_then(|()| inspected.check())?;
        let target = Self::new(Some(path.canonicalize()?), inspected.metadata.clone(), wanted.as_deref())?;
        for OfferName { kind, name } in &target.offers {
            inspected.offer_for(*kind, Some(name), &options.of(*kind))?;
        }
        Ok(target)
    }

    fn new(path: Option<PathBuf>, metadata: Metadata, wanted: Option<&str>) -> Result<Self, Box<dyn Error>> {
        let is_wanted = |name: &str| wanted.is_none_or(|wanted| wanted == name);
        let offers = metadata.offers.iter().filter(|offer| is_wanted(&offer.name));
        let offers: Vec<_> =
            offers.map(|offer| OfferName { kind: offer.kind, name: offer.name.clone() }).collect();
        let target = Self { path, metadata, offers };
        match wanted {
            Some(wanted) if target.offers.is_empty() => {
                let all: Vec<_> = target.metadata.offers.iter().map(|offer| &*offer.name).collect();
                Err(format!("{target}: it offers no {wanted}; it offers {}", all.join(", ")).into())
            }
            _ => Ok(target),
        }
    }

    /// What the process of a case is given: the same plugin, whatever the search path says by then.
    pub(super) fn argument(&self) -> OsString {
        self.path.as_ref().map_or_else(|| BUILT_IN.into(), |path| path.into())
    }
}

/// Stands for the built-ins where the path of a plugin is expected.
pub(super) const BUILT_IN: &str = "builtin";

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{}", path.display()),
            None => f.write_str("built in"),
        }
    }
}
