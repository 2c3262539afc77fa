//! The configuration files.

use std::path::Path;

use super::finding::Finding;
use crate::{args::Args, config, settings::Settings};

pub(super) fn findings(settings: &Settings, common: &Args, trouble: Option<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(trouble) = trouble {
        let (value, advice) =
            trouble.split_once('\n').unwrap_or((&trouble, "mend it; every command fails until then"));
        findings.push(Finding::problem("configuration.error", value, advice));
        return findings;
    }
    let is_read = |path: &Path| settings.files.iter().any(|file| file.path == path);
    let users = match &common.config {
        Some(path) => std::path::absolute(path).ok(),
        None => config::users_path(),
    };
    let state =
        |path: &Path| format!("{}: {}", path.display(), if is_read(path) { "read" } else { "not there" });
    findings.push(match users {
        Some(path) => Finding::ok("configuration.user", state(&path)),
        None => Finding::ok("configuration.user", "none: neither XDG_CONFIG_HOME nor HOME"),
    });
    findings.push(Finding::ok("configuration.system", state(Path::new(config::SYSTEM))));
    let owners: Vec<_> =
        settings.owners.iter().map(|said| format!("user {} ({})", said.value, said.source)).collect();
    if !owners.is_empty() {
        findings.push(Finding::note(
            "configuration.trust_owner",
            owners.join(", "),
            "whatever these users put into a plugin runs with your rights",
        ));
    }
    findings
}
