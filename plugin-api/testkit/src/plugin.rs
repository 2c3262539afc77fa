//! The cases of plugin files: what they say of themselves, and what loading them must not do.

use std::time::Instant;

use loophost_plugin_api::{ErrorCode, OfferKind};

use crate::{
    Case, Harness, PluginFile, Subject, SystemState, Verdict,
    verdict::{Code, Passed, ensure, equal, failed, skipped},
};

/// The name of the case that loads the plugin: if it does not pass, no other one can.
pub const LOADS: &str = "plugin/loads";

pub(crate) const CASES: &[Case] = &[
    Case::plugin(LOADS, "the file can be loaded and started, twice as well as once", loads),
    Case::plugin("plugin/metadata", "name, version, summary and offers are there and can be typed", metadata),
    Case::plugin(
        "plugin/load-starts-no-thread",
        "loading the file starts no thread and no process",
        load_starts_no_thread,
    ),
    Case::plugin(
        "plugin/load-keeps-signals",
        "loading the file changes neither a signal's disposition nor the mask",
        load_keeps_signals,
    ),
    Case::plugin(
        "plugin/load-keeps-descriptors",
        "loading the file leaves no descriptor open, closes none, and stays in the working folder",
        load_keeps_descriptors,
    ),
    Case::plugin(
        "plugin/unknown-offer-refused",
        "asked for something that it does not offer, the plugin refuses and does not panic",
        unknown_offer_refused,
    ),
];

/// What a case of plugin files gets.
pub(crate) struct PluginBench<'a> {
    harness: &'a dyn Harness,
    subject: &'a Subject<'a>,
}

impl<'a> PluginBench<'a> {
    pub(crate) fn new(harness: &'a dyn Harness, subject: &'a Subject<'a>) -> Self {
        Self { harness, subject }
    }

    fn plugin(&self) -> Verdict<&'a dyn PluginFile> {
        match self.subject {
            Subject::Plugin(plugin) => Ok(*plugin),
            Subject::EventLoop(_) | Subject::ChildWatcher(_) | Subject::Policy(_) => {
                Err(skipped("there is no file"))
            }
        }
    }

    /// This process before and after the file is loaded.
    fn around_load(&self) -> Verdict<(SystemState, SystemState)> {
        let plugin = self.plugin()?;
        if plugin.path().is_none() {
            return Err(skipped("it is linked in: there is no file to load"));
        }
        let before = self.harness.system_state()?;
        plugin.load()?;
        Ok((before, self.harness.system_state()?))
    }
}

fn loads(bench: &PluginBench<'_>) -> Verdict {
    let plugin = bench.plugin()?;
    let start = Instant::now();
    plugin.load()?;
    let first = start.elapsed();
    plugin.load().map_err(|error| failed(format!("loaded once in {first:?}, and a second time: {error}")))?;
    Ok(Passed)
}

/// What `plugin list`, `#NAME` and `--policy-opt KEY=VALUE` need.
fn metadata(bench: &PluginBench<'_>) -> Verdict {
    let metadata = bench.plugin()?.metadata()?;
    ensure!(!metadata.name.is_empty(), "the plugin has no name");
    ensure!(!metadata.version.is_empty(), "the plugin has no version");
    ensure!(!metadata.summary.is_empty(), "the plugin has no summary");
    ensure!(!metadata.offers.is_empty(), "the plugin offers nothing");
    for (n, offer) in metadata.offers.iter().enumerate() {
        let (kind, name) = (offer.kind.as_str(), &offer.name);
        let is_typed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        ensure!(
            name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(is_typed),
            "{kind} {name:?}: a name has letters, digits, - _ and . and begins with one of the first two"
        );
        ensure!(!offer.summary.is_empty(), "{kind} {name} has no summary");
        let is_same = |other: &loophost_plugin_api::Offer| other.kind == offer.kind && other.name == *name;
        ensure!(!metadata.offers[..n].iter().any(is_same), "{kind} {name} is offered twice");
        for option in &offer.options {
            ensure!(
                !option.key.is_empty() && !option.key.contains(['=', ' ']),
                "{kind} {name}: {:?} cannot be the key of an option",
                option.key
            );
            ensure!(!option.help.is_empty(), "{kind} {name}: option {} has no help", option.key);
        }
    }
    Ok(Passed)
}

fn load_starts_no_thread(bench: &PluginBench<'_>) -> Verdict {
    let (before, after) = bench.around_load()?;
    equal("the threads after loading", after.threads, before.threads)?;
    equal("the children after loading", after.children, before.children)?;
    Ok(Passed)
}

fn load_keeps_signals(bench: &PluginBench<'_>) -> Verdict {
    let (before, after) = bench.around_load()?;
    after.same_signals(&before)?;
    Ok(Passed)
}

fn load_keeps_descriptors(bench: &PluginBench<'_>) -> Verdict {
    let (before, after) = bench.around_load()?;
    after.same_descriptors(&before)?;
    equal("the working folder", after.working_folder, before.working_folder)?;
    equal("the mask for new files", after.umask, before.umask)?;
    Ok(Passed)
}

fn unknown_offer_refused(bench: &PluginBench<'_>) -> Verdict {
    let plugin = bench.plugin()?;
    for kind in [OfferKind::Policy, OfferKind::Watcher] {
        match plugin.make(kind, "no-such-offer") {
            Ok(()) => return Err(failed(format!("it has made a {} that it does not offer", kind.as_str()))),
            Err(error) if error.code() == ErrorCode::PANICKED => {
                return Err(failed(format!(
                    "asked for an unknown {}, it {}",
                    kind.as_str(),
                    error.message()
                )));
            }
            Err(error) => ensure!(!error.message().is_empty(), "{} without a message", Code(error.code())),
        }
    }
    Ok(Passed)
}
