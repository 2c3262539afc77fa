//! The ways to run a program that must all behave the same: each policy, built in and from its file, with each watcher.

use std::{env, ffi::OsString, path::PathBuf};

use tempfile::TempDir;

use crate::{cdylib, loop_plugins, plugin_file::copy_of};

/// On each policy.
const WATCHERS: [&str; 3] = ["auto", "pidfd", "threaded"];
/// On the default policy, and with `LOOPHOST_FULL` on each.
const SIGCHLD_WATCHERS: [&str; 3] = ["safe", "fast", "multi-loop"];

/// Copies of our plugins in a folder that loophost trusts, whoever owns the workspace.
#[derive(Debug)]
pub struct Plugins {
    folder: TempDir,
}

/// One way: options of `loophost run`.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The options.
    pub options: Vec<OsString>,
}

impl Plugins {
    /// Builds and copies `limited-policy` and the plugins with loops of their own that work here.
    ///
    /// # Panics
    /// They do not build.
    pub fn new() -> Self {
        let plugins = Self::of(&["limited-policy"]);
        for plugin in loop_plugins() {
            plugins.add(Some(plugin.file));
        }
        plugins
    }

    /// Builds and copies the plugins of these packages.
    ///
    /// # Panics
    /// They do not build.
    pub fn of(packages: &[&str]) -> Self {
        let folder = TempDir::new().expect("a folder for plugins");
        for package in packages {
            copy_of(&cdylib(package), folder.path());
        }
        Self { folder }
    }

    /// Copies one more, if there is one; where it is then.
    pub fn add(&self, file: Option<PathBuf>) -> Option<PathBuf> {
        file.map(|file| copy_of(&file, &self.folder()))
    }

    /// The folder, by its canonical name.
    ///
    /// # Panics
    /// Somebody has removed it.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().canonicalize().expect("the folder is there")
    }

    /// The file of one of them.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Each policy that can be run here, with each watcher.
    pub fn setups(&self) -> Vec<Setup> {
        let by_name =
            |name: &str| vec!["--plugin-path".into(), self.folder().into(), "--policy".into(), name.into()];
        let by_path = |file: &str| vec!["--policy".into(), self.file(file).into()];
        let mut policies: Vec<Vec<OsString>> = vec![
            Vec::new(),
            by_path("libloophost_poll.so"),
            by_name("limited-policy"),
            by_path("liblimited_policy.so"),
        ];
        policies.extend(loop_plugins().into_iter().map(|plugin| by_name(plugin.name)));
        let is_full = env::var_os("LOOPHOST_FULL").is_some();
        let with_watchers = |policy: Vec<OsString>| {
            let sigchld = SIGCHLD_WATCHERS.into_iter().filter(|_| is_full || policy.is_empty());
            // Not the version that has something to say about them.
            let sigchld = sigchld.map(|watcher| ["--watcher", watcher, "--compat", "3.9"].to_vec());
            let watchers = WATCHERS.into_iter().map(|watcher| ["--watcher", watcher].to_vec());
            let with = |watcher: Vec<&str>| Setup {
                options: policy.iter().cloned().chain(watcher.into_iter().map(Into::into)).collect(),
            };
            watchers.chain(sigchld).map(with).collect::<Vec<_>>()
        };
        policies.into_iter().flat_map(with_watchers).collect()
    }
}

impl Default for Plugins {
    fn default() -> Self {
        Self::new()
    }
}

impl Setup {
    /// The arguments that run a program this way.
    pub fn run<S: Into<OsString>>(&self, command: impl IntoIterator<Item = S>) -> Vec<OsString> {
        let mut args = vec!["run".into()];
        args.extend(self.options.iter().cloned());
        args.push("--".into());
        args.extend(command.into_iter().map(Into::into));
        args
    }
}
