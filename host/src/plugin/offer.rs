//! Making what a plugin offers.

use std::{error, fmt};

use loophost_plugin_api::{
    Error, ErrorCode, Metadata, Offer, OfferKind, Options, PolicyHandle, WatcherHandle,
};

use super::{Inspected, Plugin, Source, one_line};
use crate::services;

impl Plugin {
    /// Makes the policy that is offered as `name`, or the only one. `base` is the policy that it subclasses.
    ///
    /// # Errors
    /// There is no such offer, an option is unknown, or the plugin refuses or panics.
    pub fn new_policy(
        &self,
        name: Option<&str>,
        options: &Options,
        base: Option<PolicyHandle>,
    ) -> Result<PolicyHandle, OfferError> {
        services::install();
        let name = &self.offer_for(OfferKind::Policy, name, options)?.name;
        self.root
            .make_policy(name, options, base)
            .map_err(|error| self.refuses(OfferKind::Policy, name, error))
    }

    /// Makes the child watcher that is offered as `name`, or the only one. `base` is the watcher that it subclasses.
    ///
    /// # Errors
    /// As [`new_policy`](Self::new_policy).
    pub fn new_watcher(
        &self,
        name: Option<&str>,
        options: &Options,
        base: Option<WatcherHandle>,
    ) -> Result<WatcherHandle, OfferError> {
        services::install();
        let name = &self.offer_for(OfferKind::Watcher, name, options)?.name;
        self.root
            .make_watcher(name, options, base)
            .map_err(|error| self.refuses(OfferKind::Watcher, name, error))
    }

    /// The offer of this kind that is called `name`, or the only one.
    ///
    /// # Errors
    /// There is none, or there are several.
    pub fn offer(&self, kind: OfferKind, name: Option<&str>) -> Result<&Offer, OfferError> {
        pick(&self.metadata, kind, name).map_err(|reason| self.offer_error(kind, reason))
    }

    /// The offer of this kind that is called `name`, or the only one, if it takes these options.
    ///
    /// # Errors
    /// There is none, there are several, or it has no such option.
    pub fn offer_for(
        &self,
        kind: OfferKind,
        name: Option<&str>,
        options: &Options,
    ) -> Result<&Offer, OfferError> {
        pick_with_options(&self.metadata, kind, name, options)
            .map_err(|reason| self.offer_error(kind, reason))
    }

    fn refuses(&self, kind: OfferKind, name: &str, source: Error) -> OfferError {
        self.offer_error(kind, OfferErrorKind::Failed { name: name.to_owned(), source })
    }

    fn offer_error(&self, kind: OfferKind, reason: OfferErrorKind) -> OfferError {
        OfferError { plugin: self.source.clone(), kind, reason }
    }
}

impl Inspected {
    /// As [`Plugin::offer_for`]: the offer that [`Plugin::new_policy`] or [`Plugin::new_watcher`] would make, as far as one can tell without
    /// running any of the plugin: the only one of its kind or the one called `name`, and it takes these options.
    ///
    /// # Errors
    /// There is none, there are several, or it has no such option.
    pub fn offer_for(
        &self,
        kind: OfferKind,
        name: Option<&str>,
        options: &Options,
    ) -> Result<&Offer, OfferError> {
        pick_with_options(&self.metadata, kind, name, options).map_err(|reason| OfferError {
            plugin: Source::File(self.path.clone()),
            kind,
            reason,
        })
    }
}

fn pick<'a>(
    metadata: &'a Metadata,
    kind: OfferKind,
    name: Option<&str>,
) -> Result<&'a Offer, OfferErrorKind> {
    let of_kind: Vec<_> = metadata.offers.iter().filter(|offer| offer.kind == kind).collect();
    let offered = || of_kind.iter().map(|offer| offer.name.clone()).collect();
    match (name, &*of_kind) {
        (_, []) => Err(OfferErrorKind::NoneOfKind {
            others: metadata.offers.iter().map(|o| format!("{} {}", o.kind.as_str(), o.name)).collect(),
        }),
        (None, [only]) => Ok(only),
        (None, _) => Err(OfferErrorKind::Several { offered: offered() }),
        (Some(wanted), _) => of_kind
            .iter()
            .find(|offer| offer.name == wanted)
            .copied()
            .ok_or_else(|| OfferErrorKind::Unknown { name: wanted.to_owned(), offered: offered() }),
    }
}

fn pick_with_options<'a>(
    metadata: &'a Metadata,
    kind: OfferKind,
    name: Option<&str>,
    options: &Options,
) -> Result<&'a Offer, OfferErrorKind> {
    let offer = pick(metadata, kind, name)?;
    let known = |key: &str| offer.options.iter().any(|option| option.key == key);
    match options.iter().find(|option| !known(option.key())) {
        None => Ok(offer),
        Some(unknown) => Err(OfferErrorKind::UnknownOption {
            name: offer.name.clone(),
            key: unknown.key().to_owned(),
            known: offer.options.iter().map(|option| option.key.clone()).collect(),
        }),
    }
}

/// Why a plugin did not make something. Its `Display` is one to three lines.
#[derive(Debug)]
#[non_exhaustive]
pub struct OfferError {
    /// The plugin.
    pub plugin: Source,
    /// What was wanted: a policy or a watcher.
    pub kind: OfferKind,
    /// The reason.
    pub reason: OfferErrorKind,
}

/// Why a plugin did not make something.
#[derive(Debug)]
#[non_exhaustive]
pub enum OfferErrorKind {
    /// It offers nothing of the kind.
    NoneOfKind {
        /// What it does offer: kind and name.
        others: Vec<String>,
    },
    /// It offers several, and none was named.
    Several {
        /// Their names.
        offered: Vec<String>,
    },
    /// It offers none of that name.
    Unknown {
        /// The name that was given.
        name: String,
        /// The names that there are.
        offered: Vec<String>,
    },
    /// The offer declares no such option.
    UnknownOption {
        /// The offer's name.
        name: String,
        /// The key that was given.
        key: String,
        /// The keys that there are.
        known: Vec<String>,
    },
    /// The plugin's own code failed or panicked.
    Failed {
        /// The offer's name.
        name: String,
        /// The plugin's reason.
        source: Error,
    },
}

impl fmt::Display for OfferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.as_str();
        write!(f, "{}: ", self.plugin)?;
        match &self.reason {
            OfferErrorKind::NoneOfKind { others } => {
                write!(f, "it offers no {kind}; it offers {}", list(others))
            }
            OfferErrorKind::Several { offered } => write!(
                f,
                "it offers more than one {kind}: {}\nadd #NAME to say which, as in {}#{}",
                list(offered),
                self.plugin,
                offered.first().map_or("NAME", String::as_str)
            ),
            OfferErrorKind::Unknown { name, offered } => {
                write!(f, "it offers no {kind} called {name}; it offers {}", list(offered))
            }
            OfferErrorKind::UnknownOption { name, key, known } => {
                write!(f, "{kind} {name} has no option {key}; it takes {}", list(known))
            }
            OfferErrorKind::Failed { name, source } => {
                write!(f, "{kind} {name}: {}", one_line(source.message()))?;
                if source.code() == ErrorCode::PANICKED {
                    f.write_str("\nthis is a bug of the plugin: tell its author")?;
                }
                Ok(())
            }
        }
    }
}

impl error::Error for OfferError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &self.reason {
            OfferErrorKind::Failed { source, .. } => Some(source),
            _ => None,
        }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;

    fn message(error: &OfferError) -> String {
        let message = error.to_string();
        assert!(message.starts_with("built in: ") && message.lines().count() <= 3, "{message}");
        message
    }

    #[test]
    fn the_only_policy_needs_no_name() {
        let built_in = builtin::plugin();
        assert_eq!(built_in.offer(OfferKind::Policy, None).unwrap().name, "default");
        built_in.new_policy(Some("default"), &Options::new(), None).unwrap();
    }

    #[test]
    fn what_is_not_there_is_refused_with_a_list_of_what_is() {
        let built_in = builtin::plugin();
        let several = built_in.offer(OfferKind::Watcher, None).unwrap_err();
        assert!(message(&several).contains("more than one watcher: pidfd, threaded"), "{several}");
        let unknown = built_in.offer(OfferKind::Policy, Some("other")).unwrap_err();
        assert!(message(&unknown).contains("no policy called other; it offers default"), "{unknown}");
        let mut options = Options::new();
        options.push("no-such", 1);
        let option = built_in.new_policy(None, &options, None).unwrap_err();
        assert!(message(&option).contains("policy default has no option no-such; it takes none"), "{option}");
    }
}
