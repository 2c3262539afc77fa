//! One thing that doctor has looked at.

use serde::Serialize;

/// How bad it is. Only a problem makes doctor fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// Good to know; nothing to do.
    Note,
    /// It works, and not as well as it could, or not for long.
    Warning,
    /// Something that was asked for does not work.
    Problem,
}

#[derive(Debug, Serialize)]
pub(super) struct Finding {
    /// `SECTION.NAME`; never used for anything else.
    pub(super) id: &'static str,
    pub(super) level: Level,
    /// What was found, for people.
    pub(super) value: String,
    /// What it means or what to do about it, if there is anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
}

impl Finding {
    pub(super) fn ok(id: &'static str, value: impl Into<String>) -> Self {
        Self { id, level: Level::Ok, value: value.into(), advice: None }
    }

    pub(super) fn new(
        id: &'static str,
        level: Level,
        value: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { id, level, value: value.into(), advice: Some(advice.into()) }
    }

    pub(super) fn note(id: &'static str, value: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(id, Level::Note, value, advice)
    }

    pub(super) fn warning(id: &'static str, value: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(id, Level::Warning, value, advice)
    }

    pub(super) fn problem(id: &'static str, value: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(id, Level::Problem, value, advice)
    }

    /// It could not be found out.
    pub(super) fn unknown(id: &'static str, why: impl std::fmt::Display) -> Self {
        Self { id, level: Level::Note, value: format!("unknown: {why}"), advice: None }
    }

    pub(super) fn section(&self) -> &str {
        self.id.split_once('.').map_or(self.id, |(section, _)| section)
    }

    pub(super) fn name(&self) -> &str {
        self.id.split_once('.').map_or(self.id, |(_, name)| name)
    }
}
