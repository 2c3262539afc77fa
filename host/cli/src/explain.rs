//! `run --explain`: which policy and watcher, from which file, why, and what was overridden.

use std::{
    error::Error,
    fmt,
    io::{self, Write},
};

use loophost::{
    plugin::{Plugin, Source},
    policy,
};

use crate::{
    choice::{Choice, Chosen},
    export::Export,
    settings::Settings,
    source::Said,
};

/// Prints what was chosen.
pub(crate) fn print(chosen: &Chosen, settings: &Settings, export: &Export) -> Result<(), Box<dyn Error>> {
    let watcher_name = policy::get_event_loop_policy().get_child_watcher()?.name();

    let mut out = io::stdout().lock();
    writeln!(out, "policy   {}", subject(&chosen.policy, "default"))?;
    reasons(&mut out, &chosen.policy, "built in")?;
    writeln!(out, "loop     {}", chosen.event_loop.name())?;
    writeln!(out, "         made by the policy")?;
    writeln!(out, "watcher  {}", subject(&chosen.watcher, &watcher_name))?;
    if chosen.watcher.reference.is_some() && chosen.watcher.fell_back.is_none() {
        writeln!(out, "         is {watcher_name}")?;
    }
    let made = match chosen.policy.plugin.map(Plugin::source) {
        Some(Source::File(_)) if chosen.watcher.reference.is_none() => "made by the policy",
        _ => "built in",
    };
    reasons(&mut out, &chosen.watcher, made)?;
    if let Some(said) = chosen.compat.strongest() {
        writeln!(out, "compat   {}", said.value)?;
        writeln!(out, "         chosen by: {}", said.source)?;
        overridden(&mut out, chosen.compat.overridden(), |profile| profile.version())?;
    }
    if let Some(said) = settings.log.strongest() {
        writeln!(out, "log      {}", said.value)?;
        writeln!(out, "         chosen by: {}", said.source)?;
        overridden(&mut out, settings.log.overridden(), |filter| filter.to_string())?;
    }
    if let Some(said) = chosen.fallback.strongest() {
        writeln!(out, "fallback {}", if said.value { "yes" } else { "no" })?;
        writeln!(out, "         chosen by: {}", said.source)?;
        overridden(&mut out, chosen.fallback.overridden(), bool::to_string)?;
    }
    for said in &settings.silenced {
        writeln!(out, "silences {}", said.value)?;
        writeln!(out, "         chosen by: {}", said.source)?;
    }
    for owner in &settings.owners {
        writeln!(out, "trusts   user {}", owner.value)?;
        writeln!(out, "         chosen by: {}", owner.source)?;
    }
    for (name, value) in export.variables() {
        match value {
            Some(value) => writeln!(out, "exports  {name}={}", value.display())?,
            None => writeln!(out, "exports  no {name}")?,
        }
    }
    Ok(())
}

fn subject(choice: &Choice, default: &str) -> String {
    match &choice.reference {
        Some(reference) if choice.fell_back.is_none() => reference.to_string(),
        _ => default.to_owned(),
    }
}

/// `made`: by whom, unless it is from a file.
fn reasons(out: &mut impl Write, choice: &Choice, made: &str) -> io::Result<()> {
    if let Some(error) = &choice.fell_back {
        let first = error.lines().next().unwrap_or_default();
        writeln!(out, "         {made}; fell back from {}: {first}", choice.source)?;
        return overridden(out, &choice.overridden, |value| value.display().to_string());
    }
    writeln!(out, "         chosen by: {}", choice.source)?;
    overridden(out, &choice.overridden, |value| value.display().to_string())?;
    match choice.plugin.map(|plugin| (plugin.source(), plugin.metadata())) {
        None | Some((Source::BuiltIn, _)) => writeln!(out, "         {made}")?,
        Some((Source::File(path), metadata)) => {
            let (path, name, version) = (path.display(), &metadata.name, &metadata.version);
            writeln!(out, "         from: {path} ({name} {version})")?;
        }
    }
    if let Some(origin) = choice.found {
        writeln!(out, "         found in: {origin}")?;
    }
    for option in &choice.options {
        let said = &option.said;
        writeln!(out, "         option: {}={} ({})", option.key, said.value, said.source)?;
        overridden(out, option.overridden.as_slice(), String::clone)?;
    }
    Ok(())
}

fn overridden<T, S: fmt::Display>(
    out: &mut impl Write,
    weaker: &[Said<T>],
    shown: impl Fn(&T) -> S,
) -> io::Result<()> {
    weaker
        .iter()
        .try_for_each(|said| writeln!(out, "         overrides: {} ({})", shown(&said.value), said.source))
}
