//! What `run` and `batch` promise, in whatever sandbox.

use std::{collections::BTreeSet, ffi::OsString, process::Command};

use loophost_tests::{Ended, Plugins, loophost};
use serde_json::Value;

use crate::sandbox::Sandbox;

/// How many jobs a batch has here.
const JOBS: i64 = 20;

/// Options of `run` and `batch`.
pub(crate) type Options = Vec<OsString>;

/// The policy `default` with each watcher.
pub(crate) fn on_default() -> Vec<Options> {
    let watchers = ["auto", "pidfd", "threaded", "safe", "fast", "multi-loop"];
    // Not the profile of 3.12, which has something to say about some of them.
    watchers.map(|watcher| ["--watcher", watcher, "--compat", "3.9"].map(Into::into).into()).into()
}

/// The policy `poll` with each watcher.
pub(crate) fn on_poll(plugins: &Plugins) -> Vec<Options> {
    let mut all = on_default();
    for options in &mut all {
        options.extend(["--plugin-path".into(), plugins.folder().into(), "--policy".into(), "poll".into()]);
    }
    all
}

/// The plugin that has the policy `poll`.
pub(crate) fn plugins() -> Plugins {
    Plugins::of(&["loophost-poll"])
}

/// `SUBCOMMAND OPTIONS… -- WORDS…`
pub(crate) fn args(subcommand: &str, options: &Options, words: &[&str]) -> Vec<OsString> {
    let mut args = vec![subcommand.into()];
    args.extend(options.iter().cloned());
    args.push("--".into());
    args.extend(words.iter().map(Into::into));
    args
}

/// `run` and `batch` do what they should; gives what loophost itself has complained about.
pub(crate) fn kept(sandbox: &Sandbox, options: &Options) -> [String; 2] {
    [run_is_kept(sandbox, options), batch_is_kept(sandbox, options)]
}

/// `run` gives the program's status and output.
pub(crate) fn run_is_kept(sandbox: &Sandbox, options: &Options) -> String {
    run_is_kept_by(sandbox, options, |_| {})
}

/// The same for a command that is changed before.
pub(crate) fn run_is_kept_by(
    sandbox: &Sandbox,
    options: &Options,
    prepare: impl FnOnce(&mut Command),
) -> String {
    let mut command = loophost(args("run", options, &["sh", "-c", "echo out; exit 3"]));
    prepare(&mut command);
    let ended = sandbox.run_command(command);
    assert_eq!((ended.status.code(), &*ended.stdout), (Some(3), "out\n"), "{options:?}: {}", ended.stderr);
    ended.stderr
}

/// `batch` runs each job once, and gives its status and all of its output.
pub(crate) fn batch_is_kept(sandbox: &Sandbox, options: &Options) -> String {
    batch_is_kept_by(sandbox, options, |_| {})
}

/// The same for a command that is changed before.
pub(crate) fn batch_is_kept_by(
    sandbox: &Sandbox,
    options: &Options,
    prepare: impl FnOnce(&mut Command),
) -> String {
    let mut command = loophost(batch(options));
    prepare(&mut command);
    let ended = sandbox.run_command(command);
    assert_eq!(ended.status.code(), Some(123), "{options:?}: {}", ended.stderr);
    complaints(&ended, options)
}

/// A batch for [`complaints`].
pub(crate) fn batch(options: &Options) -> Vec<OsString> {
    let mut options = options.clone();
    options.extend(["-j4".into(), "--json".into()]);
    let mut args = args("batch", &options, &["sh", "-c", "echo out $1; exit $(($1 % 3))", "sh", "{}", ":::"]);
    args.extend((1..=JOBS).map(|n| n.to_string().into()));
    args
}

/// Looks at what all jobs of [`batch`] have left, and gives the rest of standard error.
fn complaints(ended: &Ended, options: &Options) -> String {
    let number = |record: &Value, key: &str| record[key].as_i64();
    let records = ended.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let statuses: BTreeSet<_> =
        records.map(|record| (number(&record, "seq"), number(&record, "returncode"))).collect();
    let expected = (1..=JOBS).map(|n| (Some(n), Some(n % 3))).collect();
    assert_eq!(statuses, expected, "{options:?}: {}", ended.stderr);
    assert_eq!(ended.stdout.lines().count() as i64, JOBS, "{options:?}: {}", ended.stdout);
    let (out, rest): (Vec<_>, Vec<_>) = ended.stderr.lines().partition(|line| line.starts_with("out "));
    let expected: BTreeSet<_> = (1..=JOBS).map(|n| format!("out {n}")).collect();
    assert_eq!(out.iter().copied().map(str::to_owned).collect::<BTreeSet<_>>(), expected, "{options:?}");
    assert_eq!(out.len() as i64, JOBS, "{options:?}: {}", ended.stderr);
    rest.join("\n")
}

/// loophost has ended with 125 and said why; gives that.
pub(crate) fn refused(ended: &Ended, what: &str) -> String {
    assert_eq!(ended.status.code(), Some(125), "{what}: {}", ended.stderr);
    assert!(ended.stderr.lines().any(|line| line.starts_with("loophost: ")), "{what}: {:?}", ended.stderr);
    ended.stderr.clone()
}
