//! The choice of whoever starts the program.

use std::{ffi::OsString, fmt::Display};

use crate::{
    Error, OfferKind, Options, PolicyHandle, builtin, environment,
    plugin::{self, Plugin, Reference, SearchPath, Target, Trust},
    policy::{self, DefaultEventLoopPolicy, Profile},
};

/// Makes and sets the policy and the child watcher that the variables `LOOPHOST_POLICY` and `LOOPHOST_WATCHER` name: a
/// built-in, the name of a plugin (`LOOPHOST_PLUGIN_PATH` is looked at, see [`SearchPath`]), or a file. `loophost run`
/// sets them for the program that it starts. Without them nothing changes.
///
/// `LOOPHOST_POLICY_OPT` and `LOOPHOST_WATCHER_OPT` are their options ([`environment::options`]), `LOOPHOST_COMPAT` is the
/// version of asyncio whose defaults hold ([`policy::set_profile`]), and `LOOPHOST_TRUST_OWNER` says whose plugins are loaded
/// besides root's and the user's ([`environment::trusted_owners`]).
///
/// The first thing in `main`:
///
/// ```
/// fn main() -> Result<(), loophost::Error> {
///     loophost::install_from_env()?;
///     loophost::run(async { println!("on the loop of whoever has started this") })
/// }
/// ```
///
/// In a program with more rights than its user ([`environment`]) the variables do not count.
///
/// # Errors
/// What was asked for cannot be used; the message says which variable, what it holds, and what is wrong with that. Nothing
/// has been set then if a text is wrong or a plugin cannot be loaded; if the policy or the watcher cannot be made, what comes
/// before it has been: version, policy, watcher.
pub fn install_from_env() -> Result<(), Error> {
    let profile = profile()?;
    let owners = environment::trusted_owners()?;
    let trust = owners.into_iter().fold(Trust::new(), Trust::with_owner);
    let policy = Asked::find(environment::POLICY, environment::POLICY_OPT, OfferKind::Policy, &trust)?;
    let watcher = Asked::find(environment::WATCHER, environment::WATCHER_OPT, OfferKind::Watcher, &trust)?;
    // Before any policy is made.
    profile.into_iter().for_each(policy::set_profile);
    if let Some(asked) = policy {
        let base = PolicyHandle::new(DefaultEventLoopPolicy::new());
        let made = asked.plugin.new_policy(asked.offer.as_deref(), &asked.options, Some(base));
        policy::set_event_loop_policy(Some(made.map_err(|error| asked.wrong(&error))?));
    }
    if let Some(asked) = watcher {
        let base = builtin::watchers::new("auto", &Options::new())?;
        let made = asked.plugin.new_watcher(asked.offer.as_deref(), &asked.options, Some(base));
        let watcher = made.map_err(|error| asked.wrong(&error))?;
        let set = policy::get_event_loop_policy().set_child_watcher(Some(watcher));
        set.map_err(|error| asked.wrong(&error))?;
    }
    Ok(())
}

fn profile() -> Result<Option<Profile>, Error> {
    let Some(value) = environment::trusted_var(environment::COMPAT) else { return Ok(None) };
    let parsed = value.to_string_lossy().parse().map(Some);
    parsed.map_err(|error: Error| wrong(environment::COMPAT, &value, &error))
}

/// What a variable asks for.
struct Asked {
    variable: &'static str,
    value: OsString,
    options_variable: &'static str,
    options: Options,
    plugin: &'static Plugin,
    offer: Option<String>,
}

impl Asked {
    fn find(
        variable: &'static str,
        options_variable: &'static str,
        kind: OfferKind,
        trust: &Trust,
    ) -> Result<Option<Self>, Error> {
        let options = environment::options(options_variable)?;
        let Some(value) = environment::trusted_var(variable) else {
            if options.is_empty() {
                return Ok(None);
            }
            let value = environment::options_value(&options).into();
            return Err(wrong(
                options_variable,
                &value,
                &format!("it needs {variable}, whose options these are"),
            ));
        };
        let (plugin, offer) = find(&value, kind, trust).map_err(|error| wrong(variable, &value, &*error))?;
        Ok(Some(Self { variable, value, options_variable, options, plugin, offer }))
    }

    fn wrong(&self, error: &dyn Display) -> Error {
        if self.options.is_empty() {
            return wrong(self.variable, &self.value, error);
        }
        let options = environment::options_value(&self.options);
        wrong(self.variable, &self.value, &format!("with {}={options}: {error}", self.options_variable))
    }
}

type Found = (&'static Plugin, Option<String>);

fn find(value: &OsString, kind: OfferKind, trust: &Trust) -> Result<Found, Box<dyn std::error::Error>> {
    let built_in: &[&str] = match kind {
        OfferKind::Policy => &builtin::POLICIES,
        OfferKind::Watcher => &builtin::WATCHERS,
    };
    let Reference { target, offer, .. } = Reference::parse(value, built_in)?;
    let path = match target {
        Target::BuiltIn(name) => return Ok((builtin::plugin(), Some(name))),
        Target::Path(path) => path,
        Target::Name(name) => SearchPath::new([]).find(&name, built_in)?.path,
    };
    Ok((plugin::load(&path, trust)?, offer))
}

#[cold]
fn wrong(variable: &str, value: &OsString, error: &(impl Display + ?Sized)) -> Error {
    Error::invalid_argument(format!("{variable}={}: {error}", value.display()))
}
