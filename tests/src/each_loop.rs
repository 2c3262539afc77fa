//! The loops that a program may be started on.

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
    process::Command,
};

use loophost::{Options, PolicyHandle, plugin, policy::DefaultEventLoopPolicy};
use tempfile::TempDir;

use crate::{loop_plugins, plugin_file::copy_of, started, trust};

/// A policy with loops of its own, in a file that loophost trusts; or the default one.
#[derive(Clone, Debug)]
pub struct Loop {
    /// As one would type it.
    pub name: &'static str,
    /// `None`: the default policy.
    pub file: Option<PathBuf>,
}

/// Calls `f` with each.
pub fn on_each_loop(mut f: impl FnMut(&Loop)) {
    f(&Loop { name: "default", file: None });
    let folder = TempDir::new().expect("a folder can be made");
    let trusted = folder.path().canonicalize().expect("the folder is there");
    for plugin in loop_plugins() {
        let one = Loop { name: plugin.name, file: Some(copy_of(&plugin.file, &trusted)) };
        println!("on {}", one.name);
        f(&one);
    }
}

impl Loop {
    /// A program under `loophost run`.
    pub fn run<S: AsRef<OsStr>>(&self, program: PathBuf, args: impl IntoIterator<Item = S>) -> Command {
        let mut all: Vec<OsString> = vec!["run".into()];
        all.extend(self.file.iter().flat_map(|file| ["--policy".into(), file.into()]));
        all.extend(["--".into(), program.into()]);
        all.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        let mut command = started::loophost(all);
        if let Some(file) = &self.file {
            command.env("LOOPHOST_POLICY", file);
        }
        command
    }

    /// Its policy, in this process.
    pub fn policy(&self) -> PolicyHandle {
        let default = PolicyHandle::new(DefaultEventLoopPolicy::new());
        let Some(file) = &self.file else { return default };
        let plugin = plugin::load(file, &trust()).expect("the plugin can be loaded");
        plugin.new_policy(None, &Options::new(), Some(default)).expect("the plugin makes its policy")
    }

    /// How many connections it can have at a time: select(2) knows descriptors below 1024 only.
    pub fn room(&self) -> usize {
        if self.name == "c-policy" { 1_000 } else { usize::MAX }
    }
}
