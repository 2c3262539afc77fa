//! `loophost plugin`: what it prints, and that it runs nothing of a plugin.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use loophost_tests::{Ended, Plugins, binary, command, loophost, plugin_file::abi, run, skip};
use tempfile::TempDir;

const PACKAGES: [&str; 6] = [
    "limited-policy",
    "loophost-poll",
    "loophost-fixture-good",
    "loophost-fixture-abi-minor",
    "loophost-fixture-plain-library",
    "loophost-fixture-runs-early",
];

/// The binary where it finds no plugins but those of the test.
struct Alone {
    home: TempDir,
    plugins: Plugins,
}

impl Alone {
    /// `None` if the machine has plugins installed, which `list` would show as well.
    fn new() -> Option<Self> {
        for folder in ["/usr/local/lib/loophost/plugins", "/usr/lib/loophost/plugins"] {
            if Path::new(folder).exists() {
                skip(&format!("there are plugins in {folder}"));
                return None;
            }
        }
        let home = TempDir::new().unwrap();
        // Copied by a child: what is open for writing here, if only in a process just being started, cannot be executed.
        let copied = Command::new("cp").arg(binary()).arg(home.path().join("loophost")).status();
        assert!(copied.unwrap().success());
        Some(Self { home, plugins: Plugins::of(&PACKAGES) })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = command(self.home.path().join("loophost"));
        command.env("XDG_DATA_HOME", self.home.path()).env("HOME", self.home.path());
        command.arg("--plugin-path").arg(self.plugins.folder()).arg("plugin").args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Ended {
        let ended = run(self.command(args));
        let folder = self.plugins.folder().to_str().unwrap().to_owned();
        Ended {
            status: ended.status,
            stdout: ended.stdout.replace(&folder, "PLUGINS"),
            stderr: ended.stderr.replace(&folder, "PLUGINS"),
        }
    }
}

#[test]
fn the_list_has_built_ins_plugins_and_what_cannot_be_used() {
    let Some(alone) = Alone::new() else { return };
    let ended = alone.run(&["list"]);
    let expected = "\
policy   default                  one loop for each thread, made by the selector of the system
                                  built in
watcher  pidfd                    a pidfd for each child, watched by one loop
                                  built in
watcher  threaded                 a thread for each child, works everywhere
                                  built in
watcher  safe                     SIGCHLD, then a look at each of its children
                                  built in
watcher  fast                     SIGCHLD, then reaps every child of the process, also those of other code
                                  built in
watcher  multi-loop               SIGCHLD for loops in any thread
                                  built in
watcher  auto                     pidfd if it really works here, else threaded
                                  built in
fixture-abi-minor
    cannot be used: PLUGINS/libloophost_fixture_abi_minor.so: it is built for plugin ABI LATER; this host has HOST
    rebuild it with the loophost-plugin-api of this loophost, or use a loophost with plugin ABI LATER
policy   fixture-good#plain       its base, by another name
                                  PLUGINS/libloophost_fixture_good.so (--plugin-path)
policy   fixture-good#strict      makes no loops
                                  PLUGINS/libloophost_fixture_good.so (--plugin-path)
watcher  fixture-good             its base, with another name
                                  PLUGINS/libloophost_fixture_good.so (--plugin-path)
fixture-runs-early
    cannot be used: PLUGINS/libloophost_fixture_runs_early.so: it is built for plugin ABI MUCH-LATER; this host has HOST
    rebuild it with the loophost-plugin-api of this loophost, or use a loophost with plugin ABI MUCH-LATER
policy   limited-policy           the default policy, which makes at most max loops
                                  PLUGINS/liblimited_policy.so (--plugin-path)
policy   poll                     the default policy with loops on poll(2)
                                  PLUGINS/libloophost_poll.so (--plugin-path)
"
    .replace("MUCH-LATER", &abi(7))
    .replace("LATER", &abi(1))
    .replace("HOST", &abi(0));
    assert_eq!((ended.status.code(), &*ended.stdout, &*ended.stderr), (Some(0), &*expected, ""));
}

#[test]
fn what_the_list_shows_can_be_run() {
    let Some(alone) = Alone::new() else { return };
    let names = alone.run(&["list"]).stdout;
    let names: Vec<_> = names
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let kind =
                words.next().filter(|_| line.starts_with("policy ") || line.starts_with("watcher "))?;
            Some((format!("--{kind}"), words.next()?.to_owned()))
        })
        .collect();
    assert_eq!(names.len(), 12, "{names:?}");
    // One of them makes no loops, and says so.
    for (flag, name) in names.iter().filter(|(_, name)| name != "fixture-good#strict") {
        let mut command = command(alone.home.path().join("loophost"));
        command.arg("--plugin-path").arg(alone.plugins.folder()).args(["run", flag, name, "--", "true"]);
        let ended = run(command);
        assert_eq!(ended.status.code(), Some(0), "{flag} {name}: {}", ended.stderr);
    }
}

#[test]
fn a_plugin_is_inspected_by_name_and_by_file() {
    let Some(alone) = Alone::new() else { return };
    let expected = "\
file      PLUGINS/libloophost_fixture_good.so
name      good 0.1.0
summary   a plugin that works
abi       HOST, needs a host of HOST or newer
offers    policy plain: its base, by another name
offers    policy strict: makes no loops
          why=…: the reason that it gives
offers    watcher named: its base, with another name
usable    yes
"
    .replace("HOST", &abi(0));
    let file = alone.plugins.file("libloophost_fixture_good.so");
    for plugin in ["fixture-good", file.to_str().unwrap()] {
        let ended = alone.run(&["inspect", plugin]);
        assert_eq!(
            (ended.status.code(), &*ended.stdout, &*ended.stderr),
            (Some(0), &*expected, ""),
            "{plugin}"
        );
    }
}

#[test]
fn a_plugin_that_cannot_be_used_is_inspected_with_the_reason() {
    let Some(alone) = Alone::new() else { return };
    // Anything of this one that ran would abort the process.
    let ended = alone.run(&["inspect", "fixture-runs-early"]);
    let expected = "\
file      PLUGINS/libloophost_fixture_runs_early.so
name      runs-early 0.1.0
";
    assert_eq!(ended.status.code(), Some(0), "{} {}", ended.status, ended.stderr);
    assert!(ended.stdout.starts_with(expected), "{}", ended.stdout);
    assert!(ended.stdout.contains("\nusable    no: "), "{}", ended.stdout);
    let reason = format!("plugin ABI {}; this host has {}\n          rebuild it", abi(7), abi(0));
    assert!(ended.stdout.contains(&reason), "{}", ended.stdout);

    let file = alone.plugins.file("libloophost_poll.so");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o757)).unwrap();
    let ended = alone.run(&["inspect", "poll"]);
    assert_eq!(ended.status.code(), Some(0));
    let rule = "usable    no: PLUGINS/libloophost_poll.so: it is not loaded: everybody can write to ";
    assert!(ended.stdout.contains(rule), "{}", ended.stdout);
    assert!(ended.stdout.contains("chmod o-w PLUGINS/libloophost_poll.so"), "{}", ended.stdout);
}

#[test]
fn nothing_of_a_plugin_runs() {
    // The same plugin, really started, does abort: so it would be noticed above and here.
    let plugins = Plugins::of(&["loophost-fixture-runs-early"]);
    let file = plugins.file("libloophost_fixture_runs_early.so");
    for args in [&["plugin", "list"][..], &["plugin", "inspect", file.to_str().unwrap()]] {
        let mut command = loophost(["--plugin-path"]);
        command.arg(plugins.folder()).args(args);
        assert_eq!(run(command).status.code(), Some(0), "{args:?}");
    }
    let mut preloaded = Command::new("true");
    preloaded.env("LD_PRELOAD", &file);
    assert_eq!(run(preloaded).status.code(), None);
}

#[test]
fn what_is_no_plugin_is_refused() {
    let Some(alone) = Alone::new() else { return };
    let cases = [
        ("no-such-plugin", "no-such-plugin: there is no plugin of this name"),
        ("fixture-goood", "did you mean fixture-good?"),
        ("/no/such/file.so", "/no/such/file.so"),
        ("/etc/passwd", "/etc/passwd: it is a text file, not a shared library"),
        ("/", "it is a folder"),
        ("", "is no name of a plugin"),
        ("libloophost_poll.so", "to name a file, write a path: ./libloophost_poll.so"),
    ];
    for (plugin, message) in cases {
        let ended = alone.run(&["inspect", plugin]);
        assert_eq!(ended.status.code(), Some(125), "{plugin}");
        assert!(ended.stderr.starts_with("loophost: "), "{plugin}: {}", ended.stderr);
        assert!(ended.stderr.contains(message), "{plugin}: {}", ended.stderr);
        assert!(ended.stderr.lines().count() <= 3, "{plugin}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{plugin}");
    }
    let library = alone.plugins.file("libloophost_fixture_plain_library.so");
    let ended = alone.run(&["inspect", library.to_str().unwrap()]);
    assert_eq!(ended.status.code(), Some(125));
    assert!(ended.stderr.contains("but not a plugin"), "{}", ended.stderr);
}

#[test]
fn a_reader_that_has_read_enough_is_no_failure() {
    let Some(alone) = Alone::new() else { return };
    for args in [&["list"][..], &["inspect", "poll"]] {
        let mut child = alone.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{args:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
    }
}

#[test]
fn a_full_disk_is_a_failure() {
    let Some(alone) = Alone::new() else { return };
    let mut command = alone.command(&["list"]);
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = command.stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("No space left on device"), "{stderr}");
}
