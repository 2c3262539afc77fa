//! What would be chosen, found out without running anything of a plugin.

use std::path::PathBuf;

use loophost::{
    OfferKind, builtin,
    plugin::{self, Reference, Target},
};

use super::{GivenOption, Question, questions};
use crate::{
    args::Choices,
    settings::Settings,
    source::{Said, Source},
};

/// The answer to one of the two questions, policy and watcher.
#[derive(Debug)]
pub(crate) struct Foreseen {
    pub(crate) kind: OfferKind,
    /// What was asked for; `None` for the default.
    pub(crate) asked: Option<String>,
    pub(crate) source: Source,
    pub(crate) overridden: Vec<Said<std::ffi::OsString>>,
    pub(crate) options: Vec<GivenOption>,
    /// Whether the default may take its place.
    pub(crate) fallback: bool,
    /// The file that it would come from, or `None` if it is built in; or why it cannot be used.
    pub(crate) file: Result<Option<PathBuf>, String>,
}

/// Looks and checks as [`choose`](super::choose) does, up to the loading.
///
/// # Errors
/// The flags contradict each other.
pub(crate) fn foresee(choices: &Choices, settings: &Settings) -> Result<[Foreseen; 2], String> {
    Ok(questions(choices, settings)?.map(|question| {
        let strongest = question.answers.strongest();
        Foreseen {
            kind: question.kind,
            asked: strongest.map(|said| said.value.display().to_string()),
            source: strongest.map_or(Source::Default, |said| said.source.clone()),
            overridden: question.answers.overridden().to_vec(),
            file: question.find(settings),
            fallback: question.fallback,
            options: question.options,
        }
    }))
}

impl Question<'_> {
    fn find(&self, settings: &Settings) -> Result<Option<PathBuf>, String> {
        let Some(said) = self.answers.strongest() else { return Ok(None) };
        let reference = Reference::parse(&said.value, self.built_in).map_err(|error| error.to_string())?;
        let path = match reference.target {
            Target::BuiltIn(name) => {
                let offer = builtin::plugin().offer_for(self.kind, Some(&name), &self.options());
                return offer.map(|_| None).map_err(|error| error.to_string());
            }
            Target::Path(path) => path,
            Target::Name(name) => {
                let found = settings.search.find(&name, self.built_in);
                found.map_err(|error| error.to_string())?.path
            }
        };
        let inspected = plugin::inspect(&path).map_err(|error| error.to_string())?;
        inspected
            .check_trust(&settings.trust)
            .and_then(|()| inspected.check())
            .map_err(|error| error.to_string())?;
        inspected
            .offer_for(self.kind, reference.offer.as_deref(), &self.options())
            .map_err(|error| error.to_string())?;
        Ok(Some(path))
    }
}
