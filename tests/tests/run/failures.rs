//! What loophost itself fails at: status 125, and nothing is started, or nothing goes on.

use std::{ffi::OsString, fs, path::Path};

use loophost::{ABI_MAJOR, ABI_MINOR};
use loophost_tests::{
    Plugins, Started, binary, command, eventually, loophost, plugin_file::abi, proc, run, witness::Testimony,
};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::WITNESS;

/// Runs a program that leaves a marker; the marker must not be there, and the message is given.
fn refused(options: &[&str], plugins: &Path) -> String {
    let folder = TempDir::new().unwrap();
    let marker = folder.path().join("marker");
    let mut args: Vec<OsString> = vec!["run".into(), "--plugin-path".into(), plugins.into()];
    args.extend(options.iter().map(Into::into));
    args.extend(["--".into(), "touch".into(), marker.clone().into()]);
    let ended = run(loophost(&args));
    assert_eq!(ended.status.code(), Some(125), "{options:?}: {}", ended.stderr);
    assert!(!marker.exists(), "{options:?} has started the program");
    assert!(ended.stderr.starts_with("loophost: "), "{options:?}: {}", ended.stderr);
    assert!(ended.stderr.lines().count() <= 3, "{options:?}: {}", ended.stderr);
    assert_eq!(ended.stdout, "", "{options:?}");
    ended.stderr
}

#[test]
fn a_plugin_that_cannot_be_used_starts_nothing() {
    let plugins = Plugins::of(&[
        "limited-policy",
        "loophost-fixture-good",
        "loophost-fixture-abi-major",
        "loophost-fixture-plain-library",
        "loophost-fixture-panic-in-init",
        "loophost-fixture-panic-in-new-policy",
        "loophost-fixture-undefined-symbol",
        "loophost-fixture-runs-early",
    ]);
    let folder = plugins.folder();
    fs::write(folder.join("libtext.so"), "some text\n").unwrap();
    fs::write(folder.join("libempty.so"), "").unwrap();
    let whole = fs::read(plugins.file("liblimited_policy.so")).unwrap();
    fs::write(folder.join("libshort.so"), &whole[..whole.len() / 2]).unwrap();
    let text = folder.join("libtext.so").to_str().unwrap().to_owned();
    let folder_itself = format!("{}/", folder.display());
    let other_major = format!("plugin ABI {}.{ABI_MINOR}; this host has {}", ABI_MAJOR + 1, abi(0));
    let later_minor = format!("plugin ABI {}; this host has {}", abi(7), abi(0));
    let cases: &[(&[&str], &str)] = &[
        (&["--policy", "no-such-plugin"], "there is no plugin of this name"),
        (&["--watcher", "no-such-plugin"], "there is no plugin of this name"),
        (&["--policy", "/no/such/file.so"], "/no/such/file.so"),
        (&["--policy", &folder_itself], "it is a folder"),
        (&["--policy", &text], "it is a text file"),
        (&["--policy", "empty"], "libempty.so: it is empty"),
        (&["--policy", "short"], "libshort.so: "),
        (&["--policy", "fixture-plain-library"], "not a plugin"),
        (&["--policy", "fixture-abi-major"], &other_major),
        (&["--policy", "fixture-runs-early"], &later_minor),
        (&["--policy", "fixture-panic-in-init"], "panic"),
        (&["--policy", "fixture-panic-in-new-policy"], "panic"),
        (&["--policy", "fixture-undefined-symbol"], "loophost_fixture_no_such_function"),
        (&["--policy", "fixture-good"], "plain"),
        (&["--policy", "fixture-good#no-such-offer"], "no-such-offer"),
        (&["--watcher", "limited-policy"], "watcher"),
        (&["--policy", "default#x"], "default"),
        (&["--policy", "limited-policy", "--policy-opt", "max=x"], "max"),
        (&["--policy", "limited-policy", "--policy-opt", "max=0"], "max=0"),
        (&["--policy", "limited-policy", "--policy-opt", "no-such-option=1"], "no-such-option"),
        (&["--policy", "limited-policy", "--watcher", "no-such-plugin"], "there is no plugin of this name"),
        (&["--watcher-opt", "key=value"], "--watcher-opt key=… needs --watcher or LOOPHOST_WATCHER"),
    ];
    for (options, message) in cases {
        let stderr = refused(options, &folder);
        assert!(stderr.contains(message), "{options:?}: {stderr}");
    }
}

#[test]
fn with_too_few_descriptors_it_works_or_fails_and_does_not_hang() {
    for watcher in ["auto", "threaded"] {
        let statuses: Vec<_> = (4..20)
            .map(|limit| {
                let script = format!("ulimit -n {limit}; exec \"$@\"");
                let mut command = command("sh");
                command.args(["-c", &script, "sh"]).arg(binary());
                command.args(["run", "--watcher", watcher, "--", "sh", "-c", "exit 3"]);
                let ended = run(command);
                let status = ended.status.code().unwrap();
                assert!(
                    status == 3 || ended.stderr.contains("Too many open files"),
                    "{limit}: {}",
                    ended.stderr
                );
                status
            })
            .collect();
        assert!(statuses.is_sorted_by(|less, more| less >= more), "{statuses:?}");
        assert_eq!((statuses.first(), statuses.last()), (Some(&125), Some(&3)), "{statuses:?}");
    }
}

#[test]
fn a_loop_that_fails_leaves_no_program_behind() {
    let plugins = Plugins::of(&["loophost-fixture-failing-loop"]);
    let testimony = Testimony::new();
    let mut args: Vec<OsString> = vec!["run".into(), "--policy".into()];
    args.push(plugins.file("libloophost_fixture_failing_loop.so").into());
    // The program is started in the first turn and has written its pid long before the second one ends.
    args.extend(["--policy-opt".into(), "turns=2".into(), "--".into()]);
    args.extend(testimony.command(WITNESS, &[]));
    let started = Started::new(loophost(args));
    let program = testimony.ready();
    started.signal(Signal::SIGUSR1);
    let ended = started.wait();
    assert_eq!(ended.status.code(), Some(125), "{}", ended.stderr);
    let file = plugins.file("libloophost_fixture_failing_loop.so");
    assert_eq!(ended.stderr, format!("loophost: {}: this loop has had enough\n", file.display()));
    eventually("the end of the program", || {
        proc::stat(program).is_none_or(|stat| stat.state == 'Z').then_some(())
    });
}
