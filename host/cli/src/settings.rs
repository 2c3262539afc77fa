//! What holds for every command: configuration files, trust, the search path, the log.
//!
//! Precedence, key by key: flag, variable, the user's file, the system's file, built in. Lists (plugin folders, trusted
//! owners, silenced deprecations) are joined in that order.
//!
//! # More rights than the user (`AT_SECURE`)
//! Flags are the caller's as much as variables are. Where loophost has more rights than its caller (set-user-ID,
//! set-group-ID, file capabilities), code is chosen by the system's file and what is built in, and by nothing else:
//! variables, HOME and XDG folders are ignored, as ld.so ignores `LD_PRELOAD`, and flags that name code, its options or
//! who is to be trusted are refused, for somebody has asked for them.

use std::{error::Error, fmt::Display, io, path, str::FromStr};

use loophost::{
    environment,
    plugin::{SearchPath, Trust},
    policy::{Deprecation, Profile},
};

use crate::{
    args::{Args, Choices},
    config::{self, File},
    log::{self, Filter},
    owner::Owner,
    source::{Layers, Said, Source},
};

#[derive(Debug)]
pub(crate) struct Settings {
    /// The user's and the system's, those that there are.
    pub(crate) files: Vec<File>,
    /// Whose code may be run.
    pub(crate) trust: Trust,
    /// Who is trusted besides root and the user.
    pub(crate) owners: Vec<Said<Owner>>,
    /// Where plugins are looked for by name.
    pub(crate) search: SearchPath,
    pub(crate) log: Layers<Filter>,
    /// What of asyncio's deprecations is not told.
    pub(crate) silenced: Vec<Said<Deprecation>>,
}

impl Settings {
    /// Reads the configuration files and begins to write log lines.
    pub(crate) fn begin(common: &Args) -> Result<Self, Box<dyn Error>> {
        refuse_flags(common)?;
        // Of the files themselves only flags and the variable can say who is trusted.
        let mut owners = given_owners(common)?;
        let files = config::read(common.config.as_deref(), &trust_in(&owners))?;
        owners.extend(files.iter().flat_map(|file| file.trust_owner.iter().cloned()));
        let log = log_layers(common, &files)?;
        log::init(&filter(&log), common.log_format);
        let silenced = silenced(common, &files)?;
        silenced.iter().for_each(|said| said.value.silence());
        // After that, for it may warn.
        let flag = common.plugin_path.iter().map(path::absolute).collect::<io::Result<Vec<_>>>();
        let flag =
            flag.map_err(|error| format!("--plugin-path: the current folder cannot be told: {error}"))?;
        let configured = files.iter().flat_map(|file| file.plugin_path.iter().map(|said| said.value.clone()));
        let search = SearchPath::configured(flag, configured);
        Ok(Self { trust: trust_in(&owners), files, owners, search, log, silenced })
    }

    /// What holds if [`begin`](Self::begin) has failed, for `doctor`: flags and variables, as far as they can be used.
    pub(crate) fn without_files(common: &Args) -> Self {
        let (owners, folders) = match refuse_flags(common) {
            Ok(()) => (given_owners(common).unwrap_or_default(), &*common.plugin_path),
            Err(_) => (Vec::new(), [].as_slice()),
        };
        let log = common.log.clone().map(|filter| flag("--log", filter)).into_iter().collect();
        log::init(&filter(&log), common.log_format);
        let search = SearchPath::new(folders.iter().filter_map(|folder| path::absolute(folder).ok()));
        Self { files: Vec::new(), trust: trust_in(&owners), owners, search, log, silenced: Vec::new() }
    }

    /// The version of asyncio whose choices are made.
    ///
    /// # Errors
    /// The variable holds no version, and no flag overrides it.
    pub(crate) fn compat(&self, choices: &Choices) -> Result<Layers<Profile>, String> {
        let from_flag = choices.compat.map(|profile| flag("--compat", profile));
        let from_variable = variable(environment::COMPAT, from_flag.is_some())?;
        let from_files = self.files.iter().filter_map(|file| file.compat.clone());
        Ok(from_flag.into_iter().chain(from_variable).chain(from_files).collect())
    }

    /// Whether the built-in default may take the place of what cannot be used.
    pub(crate) fn fallback(&self, choices: &Choices) -> Layers<bool> {
        let from_flag = choices.fallback.then(|| flag("--fallback", true));
        from_flag.into_iter().chain(self.files.iter().filter_map(|file| file.fallback.clone())).collect()
    }
}

/// Refuses a flag by which a user would choose what runs with rights that are not the user's.
///
/// # Errors
/// The program has more rights than its user.
pub(crate) fn refuse_if_secure(flag: &str) -> Result<(), String> {
    if !environment::has_more_rights_than_its_user() {
        return Ok(());
    }
    Err(format!(
        "{flag} is refused: loophost has more rights than the user who started it (set-user-ID, set-group-ID or file \
         capabilities), who may not choose what code gets them\n\
         use what is built in, or have an administrator name it in {}",
        config::SYSTEM
    ))
}

fn refuse_flags(common: &Args) -> Result<(), String> {
    let flags = [
        ("--config", common.config.is_some()),
        ("--plugin-path", !common.plugin_path.is_empty()),
        ("--trust-owner", !common.trust_owner.is_empty()),
    ];
    flags.iter().filter(|(_, is_given)| *is_given).try_for_each(|(flag, _)| refuse_if_secure(flag))
}

fn flag<T>(name: &'static str, value: T) -> Said<T> {
    Said { value, source: Source::Flag(name) }
}

fn trust_in(owners: &[Said<Owner>]) -> Trust {
    owners.iter().fold(Trust::new(), |trust, said| trust.with_owner(said.value.0))
}

/// Those of flags, then those of the variable.
fn given_owners(common: &Args) -> Result<Vec<Said<Owner>>, String> {
    let mut owners: Vec<_> = common.trust_owner.iter().map(|owner| flag("--trust-owner", *owner)).collect();
    let others = environment::trusted_owners().map_err(|error| error.to_string())?;
    let source = Source::Environment(environment::TRUST_OWNER);
    owners.extend(others.into_iter().map(|uid| Said { value: Owner(uid), source: source.clone() }));
    Ok(owners)
}

fn filter(log: &Layers<Filter>) -> Filter {
    log.strongest().map(|said| said.value.clone()).unwrap_or_default()
}

fn log_layers(common: &Args, files: &[File]) -> Result<Layers<Filter>, String> {
    let from_flag = common.log.clone().map(|filter| flag("--log", filter));
    let from_variable = variable("LOOPHOST_LOG", from_flag.is_some())?;
    let from_files = files.iter().filter_map(|file| file.log.clone());
    Ok(from_flag.into_iter().chain(from_variable).chain(from_files).collect())
}

/// What a variable says. One that a flag overrides may be wrong.
fn variable<T: FromStr<Err: Display>>(
    name: &'static str,
    is_overridden: bool,
) -> Result<Option<Said<T>>, String> {
    let Some(value) = environment::trusted_var(name) else { return Ok(None) };
    match value.to_string_lossy().parse() {
        Ok(value) => Ok(Some(Said { value, source: Source::Environment(name) })),
        Err(_) if is_overridden => Ok(None),
        Err(error) => Err(format!("{name}: {error}")),
    }
}

/// Flags, variable and files are joined.
fn silenced(common: &Args, files: &[File]) -> Result<Vec<Said<Deprecation>>, String> {
    const VARIABLE: &str = "LOOPHOST_SILENCE";
    let mut silenced: Vec<_> = common.silence.iter().map(|event| flag("--silence", *event)).collect();
    if let Some(codes) = environment::trusted_var(VARIABLE) {
        for code in codes.to_string_lossy().split(',').map(str::trim).filter(|code| !code.is_empty()) {
            let value = code.parse().map_err(|error| format!("{VARIABLE}: {error}"))?;
            silenced.push(Said { value, source: Source::Environment(VARIABLE) });
        }
    }
    silenced.extend(files.iter().flat_map(|file| file.silence.iter().cloned()));
    Ok(silenced)
}
