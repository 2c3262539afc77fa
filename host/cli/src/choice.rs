//! Which policy and which child watcher: flag, environment, configuration, built-in; found, checked, loaded and made.

mod foresight;

use std::{cell::OnceCell, error::Error, ffi::OsString, fmt::Display, path::Path};

use loophost::{
    LoopHandle, OfferKind, Options, PolicyHandle, WatcherHandle, builtin, environment,
    plugin::{self, Origin, Plugin, Reference, Target},
    policy::{self, DefaultEventLoopPolicy, Profile},
};

use crate::{
    args::Choices,
    config::File,
    settings::{self, Settings},
    source::{Layers, Said, Source},
    watchdog::Watchdog,
};
pub(crate) use foresight::{Foreseen, foresee};

/// What was chosen, and where it came from.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) policy: Choice,
    pub(crate) watcher: Choice,
    /// A loop that the policy has made: one that cannot make any cannot be used.
    pub(crate) event_loop: LoopHandle,
    /// The version of asyncio whose choices were made.
    pub(crate) compat: Layers<Profile>,
    /// Whether a default may have taken the place of either.
    pub(crate) fallback: Layers<bool>,
}

/// One choice that has been carried out.
#[derive(Debug)]
pub(crate) struct Choice {
    /// Who has chosen.
    pub(crate) source: Source,
    /// Who has chosen otherwise and does not count.
    pub(crate) overridden: Vec<Said<OsString>>,
    /// Its options.
    pub(crate) options: Vec<GivenOption>,
    /// What was written; `None` for the default.
    pub(crate) reference: Option<Reference>,
    /// The plugin that it was made by; `None` if the policy makes it itself.
    pub(crate) plugin: Option<&'static Plugin>,
    /// Where the file was found, if its name was looked up.
    pub(crate) found: Option<Origin>,
    /// Why the default is used instead of what was asked for.
    pub(crate) fell_back: Option<String>,
}

impl Choice {
    /// What others choose the same by: a built-in, or a file with the name of its offer. `None` for a default.
    pub(crate) fn reference_for_others(&self, kind: OfferKind) -> Option<OsString> {
        let reference = self.reference.as_ref().filter(|_| self.fell_back.is_none())?;
        let Some((plugin, plugin::Source::File(path))) = self.plugin.map(|plugin| (plugin, plugin.source()))
        else {
            return Some(reference.to_os_string());
        };
        // It was found before, to make it.
        let offer = plugin.offer(kind, reference.offer.as_deref()).ok().map(|offer| offer.name.clone());
        Some(Reference { target: Target::Path(path.clone()), offer }.to_os_string())
    }

    /// As the constructor got them.
    pub(crate) fn options(&self) -> Options {
        options(&self.options)
    }
}

/// An option, and who has given it.
#[derive(Debug)]
pub(crate) struct GivenOption {
    pub(crate) key: String,
    pub(crate) said: Said<String>,
    /// What a flag has overridden.
    pub(crate) overridden: Option<Said<String>>,
}

/// One of the two questions, before it is answered.
struct Question<'a> {
    kind: OfferKind,
    flag: &'static str,
    variable: &'static str,
    option_variable: &'static str,
    built_in: &'a [&'a str],
    /// What was chosen, and what would have been.
    answers: Layers<OsString>,
    options: Vec<GivenOption>,
    fallback: bool,
}

/// Both questions, policy and watcher.
fn questions(choices: &Choices, settings: &Settings) -> Result<[Question<'static>; 2], String> {
    let fallback = settings.fallback(choices).strongest().is_some_and(|said| said.value);
    let policy = Question {
        kind: OfferKind::Policy,
        flag: "--policy",
        variable: environment::POLICY,
        option_variable: environment::POLICY_OPT,
        built_in: &builtin::POLICIES,
        answers: Layers::from_iter([]),
        options: Vec::new(),
        fallback,
    };
    let watcher = Question {
        kind: OfferKind::Watcher,
        flag: "--watcher",
        variable: environment::WATCHER,
        option_variable: environment::WATCHER_OPT,
        built_in: &builtin::WATCHERS,
        answers: Layers::from_iter([]),
        options: Vec::new(),
        fallback,
    };
    Ok([
        policy.asked(
            choices.policy.as_ref(),
            ("--policy-opt", &choices.options.policy_opt),
            settings,
            |file| file.policy.as_ref(),
            |file| &file.policy_options,
        )?,
        watcher.asked(
            choices.watcher.as_ref(),
            ("--watcher-opt", &choices.options.watcher_opt),
            settings,
            |file| file.watcher.as_ref(),
            |file| &file.watcher_options,
        )?,
    ])
}

/// Makes policy and watcher and installs them in the process.
pub(crate) fn choose(
    choices: &Choices,
    settings: &Settings,
    watchdog: &Watchdog,
) -> Result<Chosen, Box<dyn Error>> {
    let [policy, watcher] = questions(choices, settings)?;
    let compat = settings.compat(choices)?;
    // Before any policy is made.
    policy::set_profile(compat.strongest().map(|said| said.value).unwrap_or_default());
    let event_loop = OnceCell::new();
    let policy = policy.answer(settings, watchdog, |plugin, offer, options| {
        let base = PolicyHandle::new(DefaultEventLoopPolicy::new());
        let policy = plugin.new_policy(offer, options, Some(base))?;
        // The cell is empty: this is called once.
        let _ = event_loop.set(policy.new_event_loop()?);
        policy::set_event_loop_policy(Some(policy));
        Ok(())
    })?;
    let watcher = watcher.answer(settings, watchdog, |plugin, offer, options| {
        let base = builtin::watchers::new("auto", &Options::new())?;
        let watcher: WatcherHandle = plugin.new_watcher(offer, options, Some(base))?;
        Ok(policy::get_event_loop_policy().set_child_watcher(Some(watcher))?)
    })?;
    let event_loop = event_loop.into_inner().map_or_else(policy::new_event_loop, Ok)?;
    Ok(Chosen { policy, watcher, event_loop, compat, fallback: settings.fallback(choices) })
}

impl Chosen {
    /// An error of the loop while it ran, with the file that the loop is from.
    pub(crate) fn loop_error(&self, error: &dyn Display) -> String {
        match self.policy.plugin.map(Plugin::source) {
            Some(plugin::Source::File(path)) => format!("{}: {error}", path.display()),
            Some(plugin::Source::BuiltIn) | None => error.to_string(),
        }
    }

    /// Closes the loop after its work. How that has ended is what counts, so an error is only told.
    pub(crate) fn close_loop(&self) {
        if let Err(error) = policy::set_event_loop(None).and_then(|()| self.event_loop.close()) {
            tracing::warn!("closing the event loop: {}", self.loop_error(&error));
        }
    }
}

fn options(given: &[GivenOption]) -> Options {
    let mut options = Options::new();
    given.iter().for_each(|option| options.push(&option.key, &option.said.value));
    options
}

type Install<'a> = dyn Fn(&Plugin, Option<&str>, &Options) -> Result<(), Box<dyn Error>> + 'a;

impl Question<'_> {
    /// Asks flag, environment and files.
    fn asked(
        mut self,
        flag: Option<&OsString>,
        (option_flag, flag_options): (&'static str, &[(String, String)]),
        settings: &Settings,
        of_file: impl Fn(&File) -> Option<&Said<String>>,
        file_options: impl Fn(&File) -> &Vec<(String, Said<String>)>,
    ) -> Result<Self, String> {
        if let Some(value) = flag
            && !self.built_in.iter().any(|name| *value == **name)
        {
            settings::refuse_if_secure(&format!("{} {}", self.flag, value.display()))?;
        }
        if !flag_options.is_empty() {
            settings::refuse_if_secure(option_flag)?;
        }
        let flag = flag.map(|value| Said { value: value.clone(), source: Source::Flag(self.flag) });
        let variable = environment::trusted_var(self.variable)
            .map(|value| Said { value, source: Source::Environment(self.variable) });
        let files = settings.files.iter().filter_map(|file| {
            let Said { value, source } = of_file(file)?;
            Some((Said { value: value.into(), source: source.clone() }, file_options(file)))
        });
        let files: Vec<_> = files.collect();
        let of_variable = self.variable_options(flag.is_some(), variable.is_some())?;
        // A file's options are those of what the same file has chosen, and a variable's those of what the other has.
        let of_choice = match (&flag, &variable, files.first()) {
            (None, Some(_), _) => of_variable.as_slice(),
            (None, None, Some((_, options))) => options.as_slice(),
            _ => &[],
        };
        let overridden = |key: &str| of_choice.iter().find(|(other, _)| other == key);
        let of_flags = flag_options.iter().map(|(key, value)| GivenOption {
            key: key.clone(),
            said: Said { value: value.clone(), source: Source::Flag(option_flag) },
            overridden: overridden(key).map(|(_, said)| said.clone()),
        });
        let is_overridden = |key: &str| flag_options.iter().any(|(other, _)| other == key);
        let of_file = of_choice
            .iter()
            .filter(|(key, _)| !is_overridden(key))
            .map(|(key, said)| GivenOption { key: key.clone(), said: said.clone(), overridden: None });
        self.options = of_flags.chain(of_file).collect();
        self.answers =
            flag.into_iter().chain(variable).chain(files.into_iter().map(|(said, _)| said)).collect();
        if let (None, Some(GivenOption { key, .. })) = (self.answers.strongest(), self.options.first()) {
            return Err(format!("{option_flag} {key}=… needs {} or {}", self.flag, self.variable));
        }
        Ok(self)
    }

    /// The options that are given in a variable. If a flag chooses, they are for something else, and may be wrong.
    fn variable_options(
        &self,
        flag_chooses: bool,
        variable_chooses: bool,
    ) -> Result<Vec<(String, Said<String>)>, String> {
        if flag_chooses {
            return Ok(Vec::new());
        }
        let options = environment::options(self.option_variable).map_err(|error| error.to_string())?;
        if !variable_chooses && !options.is_empty() {
            return Err(format!("{} needs {}, whose options these are", self.option_variable, self.variable));
        }
        let source = Source::Environment(self.option_variable);
        let said = |value: &str| Said { value: value.to_owned(), source: source.clone() };
        Ok(options.iter().map(|option| (option.key().to_owned(), said(option.value()))).collect())
    }

    fn options(&self) -> Options {
        options(&self.options)
    }

    fn answer(
        self,
        settings: &Settings,
        watchdog: &Watchdog,
        install: impl Fn(&Plugin, Option<&str>, &Options) -> Result<(), Box<dyn Error>>,
    ) -> Result<Choice, Box<dyn Error>> {
        let (source, reference) = match self.answers.strongest() {
            None => (Source::Default, None),
            Some(Said { value, source }) => {
                let named = |error| format!("{source}: {error}");
                (source.clone(), Some(Reference::parse(value, self.built_in).map_err(named)?))
            }
        };
        let mut choice = Choice {
            source,
            overridden: self.answers.overridden().to_vec(),
            options: Vec::new(),
            reference,
            plugin: None,
            found: None,
            fell_back: None,
        };
        match self.make(&mut choice, settings, watchdog, &install) {
            Ok(()) => {}
            Err(error) if self.fallback => {
                tracing::warn!("{error}");
                tracing::warn!("falling back to the default {}", self.kind.as_str());
                choice.fell_back = Some(error.to_string());
            }
            Err(error) => return Err(error),
        }
        choice.options = self.options;
        Ok(choice)
    }

    fn make(
        &self,
        choice: &mut Choice,
        settings: &Settings,
        watchdog: &Watchdog,
        install: &Install<'_>,
    ) -> Result<(), Box<dyn Error>> {
        let Some(reference) = &choice.reference else { return Ok(()) };
        let load = |path: &Path| {
            watchdog.watch(path);
            plugin::load(path, &settings.trust)
        };
        let (plugin, offer) = match &reference.target {
            Target::BuiltIn(name) => (builtin::plugin(), Some(name.as_str())),
            Target::Path(path) => (load(path)?, reference.offer.as_deref()),
            Target::Name(name) => {
                let found = settings.search.find(name, self.built_in)?;
                choice.found = Some(found.origin);
                (load(&found.path)?, reference.offer.as_deref())
            }
        };
        choice.plugin = Some(plugin);
        install(plugin, offer, &self.options())
    }
}
