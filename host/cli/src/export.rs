//! What the programs that loophost starts are told of its choice: those that are built on the library run on it too.

use std::{env, ffi::OsString};

use loophost::{OfferKind, environment, plugin, process::Command};

use crate::{
    choice::{Choice, Chosen},
    settings::Settings,
};

/// Variables for the programs; `None`: one that they must not inherit.
#[derive(Debug)]
pub(crate) struct Export(Vec<(&'static str, Option<OsString>)>);

impl Export {
    /// Nothing: they inherit what there is.
    pub(crate) const NONE: Self = Self(Vec::new());

    /// Whatever somebody has asked for. The programs read no configuration file and know no flag, and would not find a
    /// plugin where loophost has.
    pub(crate) fn new(chosen: &Chosen, settings: &Settings) -> Self {
        let mut variables = Vec::new();
        let choices = [
            (&chosen.policy, OfferKind::Policy, environment::POLICY, environment::POLICY_OPT),
            (&chosen.watcher, OfferKind::Watcher, environment::WATCHER, environment::WATCHER_OPT),
        ];
        for (choice, kind, name, options_name) in choices {
            if choice.reference.is_none() {
                continue;
            }
            let value = choice.reference_for_others(kind);
            let options = value.as_ref().map(|_| choice.options()).filter(|options| !options.is_empty());
            let options = options.map(|options| environment::options_value(&options).into());
            for (name, value) in [(name, value), (options_name, options)] {
                // What was asked for and not used may stand in a variable too, and the program would fail for it.
                if value.is_some() || env::var_os(name).is_some() {
                    variables.push((name, value));
                }
            }
        }
        if let Some(said) = chosen.compat.strongest() {
            variables.push((environment::COMPAT, Some(said.value.version().into())));
        }
        let owners: Vec<_> = settings.owners.iter().map(|said| said.value.to_string()).collect();
        if !owners.is_empty() && choices.iter().any(|(choice, ..)| is_file(choice)) {
            variables.push((environment::TRUST_OWNER, Some(owners.join(",").into())));
        }
        Self(variables)
    }

    /// The variables in a command.
    pub(crate) fn to(&self, command: Command) -> Command {
        self.0.iter().fold(command, |command, (name, value)| match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        })
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = (&'static str, Option<&OsString>)> {
        self.0.iter().map(|(name, value)| (*name, value.as_ref()))
    }
}

fn is_file(choice: &Choice) -> bool {
    choice.fell_back.is_none()
        && choice.plugin.is_some_and(|plugin| matches!(plugin.source(), plugin::Source::File(_)))
}
