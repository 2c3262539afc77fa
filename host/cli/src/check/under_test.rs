//! What a case is run on, in the process that runs it.

use std::path::{Path, PathBuf};

use loophost::{
    Error, ErrorCode, Metadata, OfferKind, Options, builtin,
    plugin::{self, LoadError, OfferError, OfferErrorKind, Plugin, Trust},
    testing::HostHarness,
};
use loophost_testkit::{MADE, Outcome, PluginFile, Subject};

use super::job::{Job, OfferName};
use crate::args::OfferOptions;

/// A plugin in the process of a case.
pub(super) struct UnderTest<'a> {
    harness: &'a HostHarness,
    path: Option<&'a Path>,
    trust: &'a Trust,
    options: &'a OfferOptions,
}

impl<'a> UnderTest<'a> {
    /// `path` is that of the file; `None`: the built-ins.
    pub(super) fn new(
        harness: &'a HostHarness,
        path: Option<&'a Path>,
        trust: &'a Trust,
        options: &'a OfferOptions,
    ) -> Self {
        Self { harness, path, trust, options }
    }

    /// The plugin, loaded.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub(super) fn plugin(&self) -> Result<&'static Plugin, LoadError> {
        self.path.map_or_else(|| Ok(builtin::plugin()), |path| plugin::load(path, self.trust))
    }

    /// Runs a case.
    ///
    /// # Errors
    /// The plugin cannot be loaded.
    pub(super) fn run(&self, job: &Job) -> Result<Outcome, LoadError> {
        let Some(offer) = &job.offer else { return Ok(job.case.run(self.harness, &Subject::Plugin(self))) };
        let plugin = self.plugin()?;
        let (name, options) = (Some(&*offer.name), self.options.of(offer.kind));
        let outcome = match offer.kind {
            OfferKind::Policy => {
                // Made before, so that what it does is not taken for the plugin's doing.
                let base = self.harness.default_policy();
                let make = || plugin.new_policy(name, &options, Some(base.clone())).map_err(reason);
                job.case.run(self.harness, &Subject::Policy(&make))
            }
            OfferKind::Watcher => {
                let make = || {
                    let base = self.harness.default_watcher()?;
                    plugin.new_watcher(name, &options, Some(base)).map_err(reason)
                };
                job.case.run(self.harness, &Subject::ChildWatcher(&make))
            }
        };
        Ok(match outcome {
            Outcome::Failed(reason) if job.case.name() == MADE && options.is_empty() => {
                Outcome::Failed(format!("{reason}{}", hint(plugin, offer)))
            }
            other => other,
        })
    }
}

impl PluginFile for UnderTest<'_> {
    fn path(&self) -> Option<PathBuf> {
        self.path.map(Path::to_owned)
    }

    fn metadata(&self) -> Result<Metadata, Error> {
        match self.path {
            None => Ok(builtin::plugin().metadata().clone()),
            Some(path) => Ok(plugin::inspect(path).map_err(other)?.metadata),
        }
    }

    fn load(&self) -> Result<(), Error> {
        self.plugin().map(drop).map_err(other)
    }

    fn make(&self, kind: OfferKind, name: &str) -> Result<(), Error> {
        let (plugin, options) = (self.plugin().map_err(other)?, Options::new());
        match kind {
            OfferKind::Policy => {
                plugin.new_policy(Some(name), &options, Some(self.harness.default_policy())).map(drop)
            }
            OfferKind::Watcher => {
                plugin.new_watcher(Some(name), &options, Some(self.harness.default_watcher()?)).map(drop)
            }
        }
        .map_err(reason)
    }
}

/// What may be missing where nothing could be made.
fn hint(plugin: &Plugin, OfferName { kind, name }: &OfferName) -> String {
    let known = plugin.offer(*kind, Some(name)).map(|offer| &*offer.options).unwrap_or_default();
    let keys: Vec<_> = known.iter().map(|option| &*option.key).collect();
    if keys.is_empty() {
        return String::new();
    }
    format!(
        "\nit takes options, and got none: --{}-opt KEY=VALUE gives them ({})",
        kind.as_str(),
        keys.join(", ")
    )
}

fn other(error: LoadError) -> Error {
    Error::new(ErrorCode::OTHER, error.to_string())
}

/// The plugin's own error, where it is the plugin that has refused.
fn reason(error: OfferError) -> Error {
    match error.reason {
        OfferErrorKind::Failed { source, .. } => source,
        _ => Error::new(ErrorCode::NOT_FOUND, error.to_string()),
    }
}
