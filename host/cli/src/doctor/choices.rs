//! Which policy and watcher would be chosen, and why.

use std::{error::Error, path::PathBuf};

use loophost::{OfferKind, policy, process::PidfdProbe};
use serde::Serialize;

use super::finding::Finding;
use crate::{
    args::Doctor,
    choice::{self, Foreseen},
    settings::Settings,
};

#[derive(Debug, Serialize)]
pub(super) struct Choice {
    /// `policy` or `watcher`.
    pub(super) kind: &'static str,
    /// What was asked for; null for the default.
    pub(super) asked: Option<String>,
    /// Who has asked: a flag, a variable, `FILE:LINE`, `default`.
    pub(super) source: String,
    /// Who has asked otherwise and does not count: `VALUE (SOURCE)`.
    pub(super) overrides: Vec<String>,
    /// `KEY=VALUE (SOURCE)`.
    pub(super) options: Vec<String>,
    /// The plugin's file; null if it is built in or cannot be used.
    pub(super) file: Option<PathBuf>,
    /// Why it cannot be used.
    pub(super) rejected: Option<String>,
}

pub(super) fn examine(args: &Doctor, settings: &Settings) -> (Vec<Choice>, Vec<Finding>) {
    let foreseen = match choice::foresee(&args.choices, settings) {
        Ok(foreseen) => foreseen,
        Err(error) => {
            let (value, advice) = error.split_once('\n').unwrap_or((&error, "mend the flags"));
            return (Vec::new(), vec![Finding::problem("choice.flags", value, advice)]);
        }
    };
    let policy_is_built_in = matches!(foreseen[0].file, Ok(None));
    let mut findings: Vec<_> = foreseen.iter().map(|one| finding(one, policy_is_built_in)).collect();
    if args.load {
        findings.push(load(args, settings));
    }
    (foreseen.into_iter().map(choice).collect(), findings)
}

fn finding(foreseen: &Foreseen, policy_is_built_in: bool) -> Finding {
    let id = match foreseen.kind {
        OfferKind::Policy => "choice.policy",
        OfferKind::Watcher => "choice.watcher",
    };
    let source = &foreseen.source;
    match (&foreseen.file, foreseen.asked.as_deref()) {
        (Err(error), asked) => {
            let (first, rest) = error.split_once('\n').unwrap_or((error, ""));
            let value = format!("{} (by {source}): {first}", asked.unwrap_or("default"));
            match foreseen.fallback {
                true => Finding::warning(
                    id,
                    value,
                    format!("the default is used instead, as --fallback says\n{rest}").trim(),
                ),
                false if rest.is_empty() => {
                    Finding::problem(id, value, "choose another, or allow the default with --fallback")
                }
                false => Finding::problem(id, value, rest),
            }
        }
        (Ok(Some(file)), asked) => {
            Finding::ok(id, format!("{} (by {source}), from {}", asked.unwrap_or_default(), file.display()))
        }
        (Ok(None), None) => match foreseen.kind {
            OfferKind::Watcher if !policy_is_built_in => Finding::ok(id, "the policy's own"),
            OfferKind::Watcher => Finding::ok(id, format!("{} (default)", automatic())),
            OfferKind::Policy => Finding::ok(id, "default (built in)"),
        },
        (Ok(None), Some("pidfd")) if !PidfdProbe::full().works => Finding::problem(
            id,
            format!("pidfd (by {source}) does not work here: {}", PidfdProbe::full().reason),
            "use `auto`, which takes `threaded` where pidfds do not work",
        ),
        (Ok(None), Some("auto")) => Finding::ok(id, format!("auto (by {source}): {}", automatic())),
        (Ok(None), Some(asked)) => Finding::ok(id, format!("{asked} (by {source}), built in")),
    }
}

/// What `auto` takes.
fn automatic() -> &'static str {
    if PidfdProbe::full().works {
        "pidfd, for it works here"
    } else {
        "threaded, for pidfds do not work here"
    }
}

fn choice(foreseen: Foreseen) -> Choice {
    let (file, rejected) = match foreseen.file {
        Ok(file) => (file, None),
        Err(error) => (None, Some(error)),
    };
    let overrides =
        foreseen.overridden.iter().map(|said| format!("{} ({})", said.value.display(), said.source));
    let options = foreseen
        .options
        .iter()
        .map(|option| format!("{}={} ({})", option.key, option.said.value, option.said.source));
    Choice {
        kind: foreseen.kind.as_str(),
        asked: foreseen.asked,
        source: foreseen.source.to_string(),
        overrides: overrides.collect(),
        options: options.collect(),
        file,
        rejected,
    }
}

/// Does what `run` does, up to starting the program.
fn load(args: &Doctor, settings: &Settings) -> Finding {
    const ID: &str = "choice.loaded";
    match try_load(args, settings) {
        Ok(value) => Finding::ok(ID, value),
        Err(error) => {
            let error = error.to_string();
            let (value, advice) = error.split_once('\n').unwrap_or((&error, "`run` fails in the same way"));
            Finding::problem(ID, value, advice)
        }
    }
}

fn try_load(args: &Doctor, settings: &Settings) -> Result<String, Box<dyn Error>> {
    let chosen = choice::choose(&args.choices, settings, &crate::watchdog::Watchdog::default())?;
    let watcher = policy::get_event_loop_policy().get_child_watcher()?.name();
    let value = format!("loop {}, watcher {watcher}", chosen.event_loop.name());
    chosen.event_loop.close()?;
    Ok(value)
}
