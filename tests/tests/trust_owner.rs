//! Whose plugins are loaded: `--trust-owner`, links, and what a program with more rights than its user believes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{PermissionsExt, chown, lchown, symlink},
        process::CommandExt,
    },
    path::{Path, PathBuf},
};

use loophost_tests::{Ended, Plugins, binary, command, loophost, run, skip};
use nix::{
    sys::statvfs::{FsFlags, statvfs},
    unistd::Uid,
};
use tempfile::TempDir;

const STRANGER: u32 = 12345;
const NOBODY: u32 = 65534;

fn is_root() -> bool {
    if !Uid::effective().is_root() {
        skip("only root can give files away and make set-user-ID programs");
    }
    Uid::effective().is_root()
}

fn explain(args: &[&str]) -> Ended {
    let mut command = loophost(["run", "--explain"].iter().chain(args));
    command.env("XDG_CONFIG_HOME", "/nonexistent");
    run(command)
}

#[track_caller]
fn refused(ended: &Ended, parts: &[&str]) {
    assert_eq!(ended.status.code(), Some(125), "{}", ended.stderr);
    for part in parts {
        assert!(ended.stderr.contains(part), "{part:?} is not in {}", ended.stderr);
    }
}

#[test]
fn a_strangers_plugin_is_loaded_only_if_the_stranger_is_trusted() {
    if !is_root() {
        return;
    }
    let plugins = Plugins::new();
    let file = plugins.file("libloophost_poll.so");
    chown(&file, Some(STRANGER), None).unwrap();
    let path = file.to_str().unwrap();
    let place = format!("{path} belongs to user 12345");
    refused(
        &explain(&["--policy", path]),
        &[&place, "it must be root's", "chown root", "--trust-owner 12345"],
    );
    for owner in [&["--trust-owner", "12345"][..], &["--trust-owner", "1", "--trust-owner", "12345"]] {
        let ended = explain(&[owner, &["--policy", path]].concat());
        assert!(ended.status.success(), "{}", ended.stderr);
        assert!(ended.stdout.contains("trusts   user 12345\n"), "{}", ended.stdout);
    }
    refused(&explain(&["--policy", path, "--trust-owner", "1"]), &[&place]);
    // The mode counts as well.
    fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
    refused(&explain(&["--policy", path, "--trust-owner", "12345"]), &["everybody can write", "chmod o-w"]);
}

#[test]
fn an_owner_has_a_number_or_a_name() {
    assert!(explain(&["--trust-owner", "root"]).stdout.contains("trusts   user 0\n"));
    refused(&explain(&["--trust-owner", "no-such-user"]), &["there is no user `no-such-user`"]);
}

#[test]
fn a_configuration_file_can_trust_an_owner() {
    if !is_root() {
        return;
    }
    let plugins = Plugins::new();
    let file = plugins.file("libloophost_poll.so");
    chown(&file, Some(STRANGER), None).unwrap();
    let config = plugins.file("config.toml");
    fs::write(&config, format!("policy = {file:?}\ntrust-owner = [12345]\n")).unwrap();
    let ended = explain(&["--config", config.to_str().unwrap()]);
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(ended.stdout.contains("trusts   user 12345\n"), "{}", ended.stdout);
}

#[test]
fn links_count_and_the_folders_that_they_lie_in() {
    let plugins = Plugins::new();
    let folder = TempDir::new().unwrap();
    let link = folder.path().join("libx.so");
    symlink(plugins.file("libloophost_poll.so"), &link).unwrap();
    let path = link.to_str().unwrap();
    let load = || explain(&["--policy", path]);
    assert!(load().status.success(), "{}", load().stderr);
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    refused(&load(), &[&format!("everybody can write to {}", folder.path().display())]);
    // As /tmp: nobody can replace the link of somebody else.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o1777)).unwrap();
    assert!(load().status.success(), "{}", load().stderr);
    if is_root() {
        lchown(&link, Some(STRANGER), None).unwrap();
        refused(&load(), &[&format!("{path} is a link of user 12345"), "--trust-owner 12345"]);
        assert!(explain(&["--policy", path, "--trust-owner", "12345"]).status.success());
    }
}

/// A set-user-ID copy of a program, in a folder that everybody can search.
struct SetUserId {
    folder: TempDir,
}

impl SetUserId {
    /// `None` where the bit would mean nothing, and the test is skipped.
    fn of(program: impl AsRef<Path>) -> Option<Self> {
        if !is_root() {
            return None;
        }
        let folder = TempDir::new().unwrap();
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let no_new_privs = status.lines().any(|line| line == "NoNewPrivs:\t1");
        if no_new_privs || statvfs(folder.path()).unwrap().flags().contains(FsFlags::ST_NOSUID) {
            skip("the set-user-ID bit means nothing here");
            return None;
        }
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let this = Self { folder };
        fs::create_dir(this.path().join("bin")).unwrap();
        // Copied by a child: what is open for writing here, if only in a process just being started, cannot be executed.
        let copied = std::process::Command::new("cp").arg(program.as_ref()).arg(this.program()).status();
        assert!(copied.unwrap().success());
        this.set_mode(0o4755);
        Some(this)
    }

    fn program(&self) -> PathBuf {
        self.path().join("bin/program")
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn set_mode(&self, mode: u32) {
        fs::set_permissions(self.program(), Permissions::from_mode(mode)).unwrap();
    }

    /// Started by nobody, with a hostile environment.
    fn run(&self, args: &[&str]) -> Ended {
        let mut command = command(self.program());
        command
            .args(args)
            .uid(NOBODY)
            .gid(NOBODY)
            .current_dir("/")
            .env("LOOPHOST_POLICY", "/no/such.so")
            .env("LOOPHOST_WATCHER", "/no/such.so")
            .env("LOOPHOST_PLUGIN_PATH", "/no/such")
            .env("LOOPHOST_POLICY_OPT", "no-option")
            .env("LOOPHOST_COMPAT", "0.1")
            .env("LOOPHOST_TRUST_OWNER", "nobody")
            .env("XDG_CONFIG_HOME", self.path())
            .env("XDG_DATA_HOME", self.path())
            .env("HOME", self.path());
        run(command)
    }
}

#[test]
fn with_more_rights_than_its_user_it_believes_neither_environment_nor_flags() {
    let Some(program) = SetUserId::of(binary()) else { return };
    let folder = program.path().to_str().unwrap();
    fs::create_dir_all(program.path().join("loophost/plugins")).unwrap();
    fs::write(program.path().join("loophost/config.toml"), "policy = \"/no/such.so\"\n").unwrap();

    let ended = program.run(&["run", "--", "sh", "-c", "exit 7"]);
    assert_eq!(ended.status.code(), Some(7), "{}", ended.stderr);
    let ended = program.run(&["run", "--explain", "--policy", "default", "--watcher", "threaded"]);
    assert!(ended.status.success(), "{}", ended.stderr);
    for flag in [
        ["--policy", "/no/such.so"],
        ["--policy", "poll"],
        ["--watcher", "./x.so"],
        ["--policy-opt", "a=b"],
        ["--watcher-opt", "a=b"],
        ["--plugin-path", folder],
        ["--trust-owner", "65534"],
        ["--config", "/etc/passwd"],
    ] {
        let ended = program.run(&["run", flag[0], flag[1], "--", "true"]);
        refused(&ended, &[flag[0], "is refused", "more rights than the user", "/etc/loophost/config.toml"]);
    }
    refused(&program.run(&["plugin", "inspect", "/etc/shadow"]), &["is refused"]);
    let ended = program.run(&["doctor"]);
    assert_eq!(ended.status.code(), Some(0), "{} {}", ended.stdout, ended.stderr);
    assert!(
        ended.stdout.contains("more rights than the user") && !ended.stdout.contains(folder),
        "{}",
        ended.stdout
    );

    // The same without the bit believes all of it.
    program.set_mode(0o755);
    refused(&program.run(&["run", "--", "true"]), &["LOOPHOST_TRUST_OWNER=nobody"]);
}

#[test]
fn nor_does_a_program_that_is_built_on_the_library() {
    let Some(program) = SetUserId::of(env!("CARGO_BIN_EXE_chosen")) else { return };
    let ended = program.run(&[]);
    assert!(ended.stdout.starts_with("loop SelectorEventLoop\n"), "{} {}", ended.stdout, ended.stderr);
    program.set_mode(0o755);
    let ended = program.run(&[]);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stdout);
    assert!(ended.stderr.contains("LOOPHOST_COMPAT=0.1"), "{}", ended.stderr);
}
