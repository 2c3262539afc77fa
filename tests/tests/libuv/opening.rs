//! Opening libuv: absent, of another version, something else.

use std::fs;

use loophost_tests::{Ended, Plugins, binary, cdylib, command, libuv_works, loophost, run};
use tempfile::TempDir;

fn run_with(plugins: &Plugins, options: &[&str]) -> Ended {
    let folder = plugins.folder();
    let mut args = vec!["run", "--policy", "libuv", "--plugin-path", folder.to_str().unwrap()];
    args.extend(options);
    args.extend(["--", "sh", "-c", "exit 7"]);
    run(loophost(args))
}

/// Refused with 125 and a message that has all of this in it; with `--fallback` the program runs all the same.
fn refused(plugins: &Plugins, library: &str, message: &[&str]) {
    let option = format!("library={library}");
    let ended = run_with(plugins, &["--policy-opt", &option]);
    assert_eq!(ended.status.code(), Some(125), "{library}: {}", ended.stderr);
    for part in message {
        assert!(ended.stderr.contains(part), "{library}: no {part:?} in {}", ended.stderr);
    }
    let ended = run_with(plugins, &["--policy-opt", &option, "--fallback"]);
    assert_eq!(ended.status.code(), Some(7), "{library}: {}", ended.stderr);
}

#[test]
fn what_is_not_libuv_is_refused_with_the_reason() {
    let plugins = Plugins::of(&["loophost-libuv"]);
    let other = cdylib("loophost-fixture-other-libuv");
    let none = cdylib("loophost-fixture-plain-library");
    let folder = TempDir::new().unwrap();
    let text = folder.path().join("libuv.so.1");
    fs::write(&text, "no library").unwrap();
    let [other, none, text] = [&other, &none, &text].map(|path| path.to_str().unwrap());
    for (library, message) in [
        (
            "libuv.so.of-nobody",
            &["libuv.so.of-nobody not found: install libuv1", "cannot open shared object"][..],
        ),
        ("/no/such/file", &["/no/such/file not found: install libuv1", "cannot open shared object"]),
        (text, &[text, "cannot be loaded: install libuv1"]),
        (other, &[other, "is libuv 2.3.4", "needs libuv 1.41"]),
        (none, &[none, "is not libuv", "uv_version"]),
        ("./libuv.so.1", &["library=./libuv.so.1", "absolute path"]),
    ] {
        refused(&plugins, library, message);
    }
}

/// The system's loader is what finds it, and finds nothing that works here.
#[test]
fn without_libuv_the_policy_is_refused_and_the_file_can_be_inspected() {
    let plugins = Plugins::of(&["loophost-libuv"]);
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("libuv.so.1"), "no library").unwrap();
    let file = plugins.file("libloophost_libuv.so");
    let file = file.to_str().unwrap();
    for (args, status, stdout, stderr) in [
        (
            &["run", "--policy", file, "--", "true"][..],
            125,
            "",
            "libuv.so.1 cannot be loaded: install libuv1",
        ),
        (&["plugin", "inspect", file], 0, "library", ""),
    ] {
        let mut command = loophost(args);
        command.env("LD_LIBRARY_PATH", folder.path());
        let ended = run(command);
        assert_eq!(ended.status.code(), Some(status), "{args:?}: {}", ended.stderr);
        assert!(ended.stdout.contains(stdout) && ended.stderr.contains(stderr), "{args:?}: {}", ended.stderr);
    }
}

/// Without descriptors libuv would abort.
#[test]
fn too_few_descriptors_are_an_error() {
    if !libuv_works() {
        return;
    }
    let plugins = Plugins::of(&["loophost-libuv"]);
    let file = plugins.file("libloophost_libuv.so");
    for limit in 4..=8 {
        let mut command = command("sh");
        command.args(["-c", "ulimit -n $0 && exec \"$@\"", &limit.to_string()]);
        command.arg(binary()).args(["run", "--policy"]).arg(&file).args(["--", "true"]);
        let ended = run(command);
        assert_eq!(ended.status.code(), Some(125), "{limit}: {} {}", ended.status, ended.stderr);
        assert!(
            ended.stderr.contains("open files") || ended.stderr.contains("descriptors"),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn a_library_can_be_named() {
    if libuv_works() {
        let ended = run_with(&Plugins::of(&["loophost-libuv"]), &["--policy-opt", "library=libuv.so.1"]);
        assert_eq!(ended.status.code(), Some(7), "{}", ended.stderr);
    }
}
