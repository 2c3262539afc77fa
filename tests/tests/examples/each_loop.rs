//! The loops that a program may be started on.

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
    process::Command,
};

use loophost::{Options, PolicyHandle, plugin, policy::DefaultEventLoopPolicy};
use loophost_tests::{loop_plugins, loophost, plugin_file::copy_of, trust};
use tempfile::TempDir;

/// A policy with loops of its own, in a file that loophost trusts; or the default one.
#[derive(Clone, Debug)]
pub(crate) struct Loop {
    pub(crate) name: &'static str,
    pub(crate) file: Option<PathBuf>,
}

/// Calls `f` with each.
pub(crate) fn on_each_loop(mut f: impl FnMut(&Loop)) {
    f(&Loop { name: "default", file: None });
    let folder = TempDir::new().unwrap();
    let trusted = folder.path().canonicalize().unwrap();
    for plugin in loop_plugins() {
        let one = Loop { name: plugin.name, file: Some(copy_of(&plugin.file, &trusted)) };
        println!("on {}", one.name);
        f(&one);
    }
}

impl Loop {
    /// A program under `loophost run`.
    pub(crate) fn run<S: AsRef<OsStr>>(
        &self,
        program: PathBuf,
        args: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut all: Vec<OsString> = vec!["run".into()];
        all.extend(self.file.iter().flat_map(|file| ["--policy".into(), file.into()]));
        all.extend(["--".into(), program.into()]);
        all.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        let mut command = loophost(all);
        if let Some(file) = &self.file {
            command.env("LOOPHOST_POLICY", file);
        }
        command
    }

    /// Its policy, in this process.
    pub(crate) fn policy(&self) -> PolicyHandle {
        let default = PolicyHandle::new(DefaultEventLoopPolicy::new());
        let Some(file) = &self.file else { return default };
        plugin::load(file, &trust()).unwrap().new_policy(None, &Options::new(), Some(default)).unwrap()
    }

    /// How many connections it can have at a time: select(2) knows descriptors below 1024 only.
    pub(crate) fn room(&self) -> usize {
        if self.name == "c-policy" { 1_000 } else { usize::MAX }
    }
}
