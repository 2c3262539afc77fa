//! The choice of whoever starts the program.

use std::{ffi::OsString, fmt::Display};

use crate::{
    Error, ErrorCode, OfferKind, Options, PolicyHandle, builtin, environment,
    plugin::{self, Plugin, Reference, SearchPath, Target, Trust},
    policy::{self, DefaultEventLoopPolicy},
};

/// Makes and sets the policy and the child watcher that the variables `LOOPHOST_POLICY` and `LOOPHOST_WATCHER` name: a
/// built-in, the name of a plugin (`LOOPHOST_PLUGIN_PATH` is looked at, see [`SearchPath`]), or a file. `loophost run`
/// sets them for the program that it starts. Without them nothing changes.
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
/// What was asked for cannot be used; the message says which variable, what is wrong, and what to do. Nothing has been set
/// then, or only the policy if it is the watcher that is wrong.
pub fn install_from_env() -> Result<(), Error> {
    if let Some(asked) = Asked::find("LOOPHOST_POLICY", OfferKind::Policy)? {
        let base = PolicyHandle::new(DefaultEventLoopPolicy::new());
        let made = asked.plugin.new_policy(asked.offer.as_deref(), &Options::new(), Some(base));
        policy::set_event_loop_policy(Some(made.map_err(|error| asked.wrong(&error))?));
    }
    if let Some(asked) = Asked::find("LOOPHOST_WATCHER", OfferKind::Watcher)? {
        let base = builtin::watchers::new("auto", &Options::new())?;
        let made = asked.plugin.new_watcher(asked.offer.as_deref(), &Options::new(), Some(base));
        let watcher = made.map_err(|error| asked.wrong(&error))?;
        let set = policy::get_event_loop_policy().set_child_watcher(Some(watcher));
        set.map_err(|error| asked.wrong(&error))?;
    }
    Ok(())
}

/// What a variable asks for.
struct Asked {
    variable: &'static str,
    value: OsString,
    plugin: &'static Plugin,
    offer: Option<String>,
}

impl Asked {
    fn find(variable: &'static str, kind: OfferKind) -> Result<Option<Self>, Error> {
        let Some(value) = environment::trusted_var(variable) else { return Ok(None) };
        let (plugin, offer) = find(&value, kind).map_err(|error| wrong(variable, &value, &*error))?;
        Ok(Some(Self { variable, value, plugin, offer }))
    }

    fn wrong(&self, error: &dyn Display) -> Error {
        wrong(self.variable, &self.value, error)
    }
}

type Found = (&'static Plugin, Option<String>);

fn find(value: &OsString, kind: OfferKind) -> Result<Found, Box<dyn std::error::Error>> {
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
    Ok((plugin::load(&path, &Trust::new())?, offer))
}

#[cold]
fn wrong(variable: &str, value: &OsString, error: &(impl Display + ?Sized)) -> Error {
    Error::new(ErrorCode::INVALID_ARGUMENT, format!("{variable}={}: {error}", value.display()))
}
