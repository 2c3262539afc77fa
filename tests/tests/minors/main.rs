//! The promises of `plugin-api/VERSIONS.md` from 1.0 on: plugins of a minor on hosts of the next, and the other way round.
//! Both are built here, of copies of this workspace.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod edit;
mod edition;
mod later;

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use edition::Edition;
use loophost::{ABI_MAJOR, ABI_MINOR};
use loophost_tests::{Ended, Plugins, c_plugin_against, command, plugin_file::offer, run};

/// Of this minor.
static EARLIER: LazyLock<Edition> = LazyLock::new(|| Edition::build("earlier", ABI_MINOR, &[]));

/// Of the next minor, with more of everything that a minor may add.
static LATER: LazyLock<Edition> = LazyLock::new(|| Edition::build("later", ABI_MINOR + 1, &later::edits()));

fn loophost<S: AsRef<OsStr>>(host: &Edition, args: impl IntoIterator<Item = S>) -> Ended {
    let mut command = command(host.program("loophost"));
    command.args(args);
    run(command)
}

/// A copy of a plugin of an edition, in a folder that is trusted.
fn plugin(plugins: &Plugins, edition: &Edition, name: &str) -> PathBuf {
    plugins.add(Some(edition.library(name))).unwrap()
}

/// The whole conformance suite on a file.
#[track_caller]
fn conforms(host: &Edition, file: &Path) {
    let ended = loophost(host, ["plugin".as_ref(), "check".as_ref(), file.as_os_str()]);
    assert_eq!(ended.code(), 0, "{}\n{}", ended.stdout, ended.stderr);
}

/// Runs a program with options of `run`; its status must come through. What was logged.
#[track_caller]
fn runs(host: &Edition, options: &[&str]) -> String {
    let args = [&["run", "--log", "info"], options, &["--", "sh", "-c", "exit 7"]].concat();
    let ended = loophost(host, args);
    assert_eq!(ended.code(), 7, "{ended:?}");
    ended.stderr
}

#[test]
fn an_earlier_plugin_works_on_a_later_host() {
    let plugins = Plugins::of(&[]);
    let wrapping = plugin(&plugins, &EARLIER, "wrapping");
    conforms(&LATER, &wrapping);
    let wrapping = wrapping.to_str().unwrap();
    let log = runs(&LATER, &["--policy", wrapping, "--watcher", wrapping]);
    assert!(log.contains("wrapping is there, from thread 0"), "{log}");
    let poll = plugin(&plugins, &EARLIER, "poll");
    conforms(&LATER, &poll);
    runs(&LATER, &["--policy", poll.to_str().unwrap()]);
}

#[test]
fn a_later_plugin_works_on_an_earlier_host() {
    let plugins = Plugins::of(&[]);
    let wrapping = plugin(&plugins, &LATER, "wrapping");
    conforms(&EARLIER, &wrapping);
    let wrapping = wrapping.to_str().unwrap();
    let log = runs(&EARLIER, &["--policy", wrapping, "--watcher", wrapping]);
    // What it asks for and is not there.
    assert!(log.contains("wrapping is there uptime=None"), "{log}");
    assert!(log.contains("a child has exited switches=0"), "{log}");
    let poll = plugin(&plugins, &LATER, "poll");
    conforms(&EARLIER, &poll);
    runs(&EARLIER, &["--policy", poll.to_str().unwrap()]);

    let ended = loophost(&EARLIER, ["plugin", "inspect", wrapping]);
    let abi = format!(
        "abi       {ABI_MAJOR}.{}, needs a host of {ABI_MAJOR}.{ABI_MINOR} or newer\n",
        ABI_MINOR + 1
    );
    assert!(ended.stdout.contains(&abi) && ended.stdout.ends_with("usable    yes\n"), "{ended:?}");
}

/// For comparison: what the others do without is there.
#[test]
fn a_later_plugin_has_its_news_on_a_later_host() {
    let plugins = Plugins::of(&[]);
    let wrapping = plugin(&plugins, &LATER, "wrapping");
    let wrapping = wrapping.to_str().unwrap();
    let log = runs(&LATER, &["--policy", wrapping, "--watcher", wrapping]);
    assert!(log.contains("wrapping is there, from thread 19 uptime=Some(14)"), "{log}");
    assert!(log.contains("a child has exited, from thread 19 switches=17"), "{log}");
}

#[test]
fn plugins_of_both_minors_share_a_process() {
    let (earlier, later) = (Plugins::of(&[]), Plugins::of(&[]));
    let (earlier, later) = (plugin(&earlier, &EARLIER, "wrapping"), plugin(&later, &LATER, "wrapping"));
    for host in [&*EARLIER, &*LATER] {
        for (policy, watcher) in [(&earlier, &later), (&later, &earlier)] {
            let (policy, watcher) = (offer(policy, "wrapped"), offer(watcher, "waiting"));
            runs(host, &["--policy", &policy, "--watcher", &watcher]);
        }
    }
}

/// Its constructor aborts the process.
#[test]
fn a_plugin_that_needs_the_later_minor_is_refused_before_any_of_it_runs() {
    let plugins = Plugins::of(&[]);
    let file = plugin(&plugins, &LATER, "runs_early");
    let ended = loophost(&EARLIER, ["run", "--policy", file.to_str().unwrap(), "--", "true"]);
    let (earlier, later) = (format!("{ABI_MAJOR}.{ABI_MINOR}"), format!("{ABI_MAJOR}.{}", ABI_MINOR + 1));
    let says = format!(
        "loophost: {}: it is built for plugin ABI {later}; this host has {earlier}\n\
         rebuild it with the loophost-plugin-api of this loophost, or use a loophost with plugin ABI {later}\n",
        file.display()
    );
    assert_eq!((ended.code(), &*ended.stderr), (125, &*says), "{ended:?}");
}

/// What a later host asks of files, with methods and numbers that earlier plugins have never heard of.
#[track_caller]
fn news(files: &[&Path]) -> String {
    let mut command = command(LATER.program("news"));
    command.args(files);
    let ended = run(command);
    assert_eq!(ended.code(), 0, "{ended:?}");
    ended.stdout
}

#[test]
fn a_later_host_asks_earlier_plugins_for_news() {
    let (earlier, later) = (Plugins::of(&[]), Plugins::of(&[]));
    let told = news(&[
        &plugin(&earlier, &EARLIER, "wrapping"),
        &plugin(&earlier, &EARLIER, "poll"),
        &plugin(&later, &LATER, "wrapping"),
        &plugin(&later, &LATER, "poll"),
    ]);
    // 11 to 13 are the host's own answers, as bases; those of later plugins are from 21 on.
    let expected = "\
wrapping: health None
policy wrapped: contexts 12, pending 11, operation no, figure None, capability no, exception in thread 18
watcher waiting: watched 13
poll: health None
policy poll: contexts 12, pending not supported, operation no, figure None, capability no, exception in thread 0
wrapping: health Some(24)
policy wrapped: contexts 12, pending 21, operation no, figure None, capability no, exception in thread 18
watcher waiting: watched 13
poll: health Some(20)
policy poll: contexts 12, pending 11, operation no, figure None, capability no, exception in thread 18
";
    assert_eq!(told, expected);
}

/// A file of C, compiled with the header of an edition; `None`, and said, without a compiler.
fn in_c(plugins: &Plugins, edition: &Edition, source: &str, name: &str) -> Option<PathBuf> {
    plugins.add(c_plugin_against(&edition.include(), source, name, &[]))
}

#[test]
fn an_earlier_plugin_in_c_works_on_a_later_host() {
    let plugins = Plugins::of(&[]);
    let Some(forwarding) = in_c(&plugins, &EARLIER, "tests/c-fixtures/forwarding.c", "earlier_forwarding")
    else {
        return;
    };
    conforms(&LATER, &forwarding);
    let name = forwarding.to_str().unwrap();
    runs(&LATER, &["--policy", name, "--watcher", name]);
    let expected = "\
c-forwarding: health None
policy forwarding: contexts not supported, pending not supported, operation no, figure None, capability no, \
        exception in thread 18
watcher forwarding: watched not supported
";
    assert_eq!(news(&[&forwarding]), expected);
}

#[test]
fn a_later_plugin_in_c_works_on_an_earlier_host() {
    let plugins = Plugins::of(&[]);
    let Some(later) = in_c(&plugins, &LATER, "tests/minors/later.c", "later_in_c") else { return };
    conforms(&EARLIER, &later);
    let name = later.to_str().unwrap();
    let log = runs(&EARLIER, &["--policy", name]);
    assert!(log.contains("the host has uptime: no, pending: no"), "{log}");
    let log = runs(&LATER, &["--policy", name]);
    assert!(log.contains("the host has uptime: yes, pending: yes, from thread 29"), "{log}");
    let expected = "\
later-in-c: health Some(34)
policy later: contexts 12, pending 31, operation no, figure None, capability no, exception in thread 18
";
    assert_eq!(news(&[&later]), expected);
}
