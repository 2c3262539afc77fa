//! Which policy and watcher would be chosen, and why.

use std::path::PathBuf;

use loophost::{OfferKind, builtin::watchers, policy::Profile, process::PidfdProbe};
use serde::Serialize;

use super::{finding::Finding, loading};
use crate::{
    args::Doctor,
    choice::{self, Foreseen},
    settings::Settings,
    source::{Layers, Source},
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
    /// Of the watcher: it, and those that a child is offered to if it cannot take it; empty if that is not known.
    pub(super) chain: Vec<String>,
}

pub(super) fn examine(args: &Doctor, settings: &Settings) -> (Vec<Choice>, Vec<Finding>) {
    let foreseen = match choice::foresee(&args.choices, settings) {
        Ok(foreseen) => foreseen,
        Err(error) => {
            let (value, advice) = error.split_once('\n').unwrap_or((&error, "mend the flags"));
            return (Vec::new(), vec![Finding::problem("choice.flags", value, advice)]);
        }
    };
    let (profile, compat) = match settings.compat(&args.choices) {
        Ok(compat) => compat_finding(&compat),
        Err(error) => {
            let advice = format!("choose one of {}", Profile::ALL.map(Profile::version).join(", "));
            (Profile::default(), Finding::problem("choice.compat", error, advice))
        }
    };
    let circumstances = Circumstances {
        profile,
        policy_is_built_in: matches!(foreseen[0].file, Ok(None)),
        // The answer that `run` would have, too.
        probe: PidfdProbe::get().clone(),
    };
    let mut findings: Vec<_> = foreseen.iter().map(|one| finding(one, &circumstances)).collect();
    let chain = chain(&foreseen[1], &circumstances);
    findings.push(chain_finding(&chain, &circumstances.probe));
    findings.push(compat);
    if args.load {
        findings.push(loading::finding());
    }
    let mut choices: Vec<_> = foreseen.into_iter().map(choice).collect();
    choices[1].chain = chain;
    (choices, findings)
}

/// What the watcher depends on.
struct Circumstances {
    profile: Profile,
    policy_is_built_in: bool,
    probe: PidfdProbe,
}

fn compat_finding(compat: &Layers<Profile>) -> (Profile, Finding) {
    let profile = compat.strongest().map(|said| said.value).unwrap_or_default();
    let source = compat.strongest().map_or(Source::Default, |said| said.source.clone());
    let overrides =
        compat.overridden().iter().map(|said| format!("; overrides {} ({})", said.value, said.source));
    let overrides: String = overrides.collect();
    let value = format!(
        "as asyncio {profile} (by {source}): its default watcher is {}{overrides}",
        profile.default_watcher()
    );
    (profile, Finding::ok("choice.compat", value))
}

/// Who watches a child: the chosen watcher, and then those that it is offered to.
fn chain(watcher: &Foreseen, circumstances: &Circumstances) -> Vec<String> {
    let first = match (&watcher.file, watcher.asked.as_deref()) {
        (Err(_), _) if !watcher.fallback => return Vec::new(),
        (Ok(Some(_)), Some(asked)) => asked,
        (Ok(None), Some("auto")) => automatic(&circumstances.probe).0,
        (Ok(_), Some(asked)) => asked,
        _ if !circumstances.policy_is_built_in => "the policy's own",
        _ => default_watcher(circumstances).0,
    };
    let after = watchers::chain_after(first, &circumstances.probe).iter().filter(|next| **next != first);
    [first].into_iter().chain(after.copied()).map(str::to_owned).collect()
}

fn chain_finding(chain: &[String], probe: &PidfdProbe) -> Finding {
    const ID: &str = "choice.chain";
    match chain {
        [] => Finding::unknown(ID, "the watcher cannot be used"),
        [only] => Finding::ok(ID, format!("{only} takes every child; pidfd: {}", probe.reason)),
        [first, rest @ ..] => Finding::ok(
            ID,
            format!(
                "{first}; a child that it cannot take goes to {}; pidfd: {}",
                rest.join(", then "),
                probe.reason
            ),
        ),
    }
}

fn finding(foreseen: &Foreseen, circumstances: &Circumstances) -> Finding {
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
            OfferKind::Watcher if !circumstances.policy_is_built_in => Finding::ok(id, "the policy's own"),
            OfferKind::Watcher => {
                let (name, why) = default_watcher(circumstances);
                Finding::ok(id, format!("{name}, {why} (default)"))
            }
            OfferKind::Policy => Finding::ok(id, "default (built in)"),
        },
        (Ok(None), Some("pidfd")) if !circumstances.probe.works => Finding::problem(
            id,
            format!("pidfd (by {source}) does not work here: {}", circumstances.probe.reason),
            "use `auto`, which takes `threaded` where pidfds do not work",
        ),
        (Ok(None), Some("auto")) => {
            let (name, why) = automatic(&circumstances.probe);
            Finding::ok(id, format!("auto (by {source}): {name}, {why}"))
        }
        (Ok(None), Some(asked)) => Finding::ok(id, format!("{asked} (by {source}), built in")),
    }
}

/// What a built-in policy takes, and why.
fn default_watcher(circumstances: &Circumstances) -> (&'static str, String) {
    match circumstances.profile.default_watcher() {
        "auto" => {
            let (name, why) = automatic(&circumstances.probe);
            (name, why.into())
        }
        name => (name, format!("as asyncio {} does", circumstances.profile)),
    }
}

/// What `auto` takes, and why.
fn automatic(probe: &PidfdProbe) -> (&'static str, &'static str) {
    if probe.works { ("pidfd", "for it works here") } else { ("threaded", "for pidfds do not work here") }
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
        chain: Vec::new(),
    }
}
