//! Configuration files: who overrides whom, what is wrong in them, and what is never read.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    ffi::OsStr,
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
};

use loophost_tests::{Ended, Plugins, loophost, run, skip};
use nix::{
    sys::stat::Mode,
    unistd::{Uid, mkfifo},
};
use tempfile::TempDir;

const STRANGER: u32 = 12345;

/// A folder for `XDG_CONFIG_HOME`, with the user's file in it.
struct Home {
    folder: TempDir,
}

impl Home {
    fn new(text: &str) -> Self {
        let home = Self { folder: TempDir::new().unwrap() };
        fs::create_dir(home.path().join("loophost")).unwrap();
        fs::write(home.file(), text).unwrap();
        fs::set_permissions(home.file(), Permissions::from_mode(0o644)).unwrap();
        home
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn file(&self) -> PathBuf {
        self.path().join("loophost/config.toml")
    }

    fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = loophost(args);
        command.env("XDG_CONFIG_HOME", self.path());
        command
    }

    /// `run --explain` and more.
    fn explain(&self, args: &[&str]) -> Ended {
        run(self.command(["run", "--explain"].iter().chain(args)))
    }
}

#[track_caller]
fn refused(ended: &Ended, parts: &[&str]) {
    assert_eq!(ended.status.code(), Some(125), "{}", ended.stderr);
    assert!(ended.stderr.lines().count() <= 3, "{}", ended.stderr);
    for part in parts {
        assert!(ended.stderr.contains(part), "{part:?} is not in {}", ended.stderr);
    }
}

#[track_caller]
fn explained(ended: &Ended, parts: &[&str]) {
    assert!(ended.status.success(), "{}", ended.stderr);
    for part in parts {
        assert!(ended.stdout.contains(part), "{part:?} is not in {}", ended.stdout);
    }
}

#[test]
fn a_flag_overrides_a_variable_and_that_the_file() {
    let home = Home::new("# mine\nwatcher = \"threaded\"\nlog = \"error\"\n");
    let file = home.file().display().to_string();
    let (by_file, over_file) =
        (format!("chosen by: {file}:2\n"), format!("overrides: threaded ({file}:2)\n"));
    let threaded = "is ThreadedChildWatcher\n";
    explained(&home.explain(&[]), &["watcher  threaded\n", threaded, &by_file]);

    let mut command = home.command(["run", "--explain"]);
    let ended = run({
        command.env("LOOPHOST_WATCHER", "auto").env("LOOPHOST_LOG", "warn");
        command
    });
    let log =
        format!("log      warn\n         chosen by: LOOPHOST_LOG\n         overrides: error ({file}:3)\n");
    explained(&ended, &["watcher  auto\n", "chosen by: LOOPHOST_WATCHER\n", &over_file, &log]);

    let mut command = home.command(["run", "--explain", "--watcher", "threaded"]);
    command.env("LOOPHOST_WATCHER", "auto");
    let order =
        format!("chosen by: --watcher\n         overrides: auto (LOOPHOST_WATCHER)\n         {over_file}");
    explained(&run(command), &[threaded, &order]);
}

#[test]
fn the_flag_names_another_file_in_place_of_the_users() {
    let home = Home::new("watcher = \"threaded\"\n");
    let other = Home::new("policy = \"default\"\n");
    let ended = home.explain(&["--config", other.file().to_str().unwrap()]);
    explained(&ended, &[&format!("chosen by: {}:1\n", other.file().display())]);
    assert!(!ended.stdout.contains("threaded"), "{}", ended.stdout);
    refused(&home.explain(&["--config", "/no/such.toml"]), &["/no/such.toml: there is no such"]);
}

#[test]
fn plugins_and_their_options_come_from_the_file() {
    let plugins = Plugins::new();
    let home = Home::new(&format!(
        "policy = \"limited-policy\"\nplugin-path = [{:?}]\n[policy-options]\nmax = 3\n",
        plugins.folder()
    ));
    let file = home.file().display().to_string();
    let ended = home.explain(&[]);
    explained(&ended, &["found in: configuration file\n", &format!("option: max=3 ({file}:4)\n")]);
    let ended = home.explain(&["--policy-opt", "max=5"]);
    explained(&ended, &[&format!("option: max=5 (--policy-opt)\n         overrides: 3 ({file}:4)\n")]);
    // They are not those of a policy that somebody else has chosen.
    let ended = home.explain(&["--policy", "poll"]);
    explained(&ended, &[&format!("overrides: limited-policy ({file}:1)\n")]);
    assert!(!ended.stdout.contains("max="), "{}", ended.stdout);
}

#[test]
fn what_is_wrong_has_line_and_column_and_a_suggestion() {
    let home = Home::new("log = \"info\"\nwatchr = \"threaded\"\n");
    let place = format!("{}:2:1: ", home.file().display());
    refused(&home.explain(&[]), &[&place, "unknown key `watchr`; did you mean `watcher`?"]);
    refused(&run(home.command(["run", "--", "true"])), &[&place]);
    fs::write(home.file(), "fallback = 1\n").unwrap();
    refused(&home.explain(&[]), &[":1:12: fallback must be true or false"]);
    fs::write(home.file(), "fallback = \n").unwrap();
    refused(&home.explain(&[]), &[":1:"]);
}

#[test]
fn a_policy_of_the_file_that_cannot_be_used_is_an_error_unless_the_file_allows_the_default() {
    let home = Home::new("policy = \"/no/such.so\"\n");
    refused(&home.explain(&[]), &["/no/such.so"]);
    fs::write(home.file(), "policy = \"/no/such.so\"\nfallback = true\n").unwrap();
    explained(&home.explain(&[]), &["fell back from"]);
}

#[test]
fn a_file_that_others_may_change_is_refused() {
    let home = Home::new("watcher = \"threaded\"\n");
    fs::set_permissions(home.file(), Permissions::from_mode(0o666)).unwrap();
    refused(&home.explain(&[]), &["it names code to be run", "everybody can write to", "chmod o-w"]);
    fs::set_permissions(home.file(), Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(home.path().join("loophost"), Permissions::from_mode(0o777)).unwrap();
    refused(&home.explain(&[]), &["everybody can write to", "/loophost,"]);
    fs::set_permissions(home.path().join("loophost"), Permissions::from_mode(0o755)).unwrap();
    if !Uid::effective().is_root() {
        return skip("only root can give files away");
    }
    chown(home.file(), Some(STRANGER), None).unwrap();
    refused(&home.explain(&[]), &["belongs to user 12345", "--trust-owner 12345"]);
    explained(&home.explain(&["--trust-owner", "12345"]), &["watcher  threaded\n", "trusts   user 12345\n"]);
    // It cannot vouch for itself.
    fs::write(home.file(), "trust-owner = [12345]\n").unwrap();
    refused(&home.explain(&[]), &["belongs to user 12345"]);
}

#[test]
fn what_is_no_regular_file_is_refused_and_not_waited_for() {
    let home = Home::new("");
    fs::remove_file(home.file()).unwrap();
    mkfifo(&home.file(), Mode::from_bits_truncate(0o600)).unwrap();
    refused(&home.explain(&[]), &["no regular file"]);
    let folder = home.path().to_str().unwrap();
    refused(&home.explain(&["--config", folder]), &["no regular file"]);
}

#[test]
fn the_current_folder_never_names_code() {
    let home = Home::new("");
    let here = TempDir::new().unwrap();
    fs::create_dir_all(here.path().join(".config/loophost")).unwrap();
    fs::create_dir(here.path().join("loophost")).unwrap();
    for file in ["loophost.toml", "config.toml", ".config/loophost/config.toml", "loophost/config.toml"] {
        fs::write(here.path().join(file), "policy = \"/no/such.so\"\nthis is not even TOML").unwrap();
    }
    for (variable, value) in [("XDG_CONFIG_HOME", home.path()), ("XDG_CONFIG_HOME", Path::new("."))] {
        let mut command = loophost(["run", "--explain"]);
        command.current_dir(here.path()).env(variable, value).env("HOME", "");
        explained(&run(command), &["policy   default\n         chosen by: default\n"]);
        let mut command = loophost(["run", "--", "sh", "-c", "exit 7"]);
        command.current_dir(here.path()).env(variable, value).env("HOME", "");
        assert_eq!(run(command).status.code(), Some(7));
    }
}
