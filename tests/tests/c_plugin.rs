//! Plugins in C that break the rules: each gets a clear error, or does no harm. Never a death by signal, never a hang.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use loophost::{
    Callback, ErrorCode, LoopHandle, OpCode, Options, PolicyHandle, RepeatCallback, Stat,
    plugin::{self, Plugin},
    policy::DefaultEventLoopPolicy,
};
use loophost_tests::{
    C_POLICY, Ended, Plugins, c_plugin, loophost,
    plugin_file::{abi, copy_of, folder, offer},
    run, trust,
};

fn misbehaving() -> Option<PathBuf> {
    c_plugin("tests/c-fixtures/misbehaving.c", "misbehaving", &[])
}

/// A program that exits with status 7, with a plugin in a folder that loophost trusts.
fn run_with(kind: &str, file: &Path, name: Option<&str>) -> Ended {
    let (_folder, folder) = folder();
    let file = copy_of(file, &folder);
    let plugin = name.map_or_else(|| file.display().to_string(), |name| offer(&file, name));
    run(loophost(["run", kind, &plugin, "--", "sh", "-c", "exit 7"]))
}

/// It does not run, for a reason that is told in three lines at most.
#[track_caller]
fn fails(kind: &str, file: &Path, name: Option<&str>, says: &str) {
    let ended = run_with(kind, file, name);
    assert_eq!(ended.status.code(), Some(125), "{name:?}: {ended:?}");
    assert!(ended.stderr.contains(says) && ended.stderr.lines().count() <= 3, "{name:?}: {ended:?}");
}

#[test]
fn a_plugin_without_usable_functions_is_not_loaded() {
    for (number, says) in [
        (0, "no usable symbol loophost_c_plugin_1: "),
        (1, "loophost_c_plugin is too small: its struct_size is 16, and 40 are needed"),
        (2, "loophost_c_plugin makes no sense: its struct_size is 3735928559"),
        (3, "loophost_c_plugin is too small: its struct_size is 0"),
        (4, "it failed to start: init has failed and gave no reason"),
        (5, "it failed to start: caf\u{fffd} is closed; for today"),
        (6, "policy bad: new_policy is not supported"),
    ] {
        let (name, define) = (format!("bad_root_{number}"), format!("BAD={number}"));
        let Some(file) = c_plugin("tests/c-fixtures/bad_root.c", &name, &[&define]) else { return };
        fails("--policy", &file, None, says);
    }
}

#[test]
fn bad_tables_and_results_are_errors() {
    let Some(file) = misbehaving() else { return };
    for (name, says) in [
        ("null-policy", "new_policy says that it has worked, and gave nothing"),
        ("silent", "new_policy has failed and gave no reason"),
        ("no-table", "loophost_policy_vtable is missing"),
        ("no-place", "the place for the result is missing"),
        ("small-table", "loophost_policy_vtable is too small: its struct_size is 24"),
        ("odd-table", "loophost_policy_vtable makes no sense: its struct_size is 67"),
        ("huge-table", "loophost_policy_vtable makes no sense"),
        ("no-base", "loophost_policy_vtable lacks get_event_loop"),
        ("null-loop", "new_event_loop says that it has worked, and gave nothing"),
        ("lacks-call-at", "loophost_loop_vtable lacks call_at"),
        ("no-such-loop", "the name of the loop \"caf\u{fffd}\" is not UTF-8"),
        ("no-name", "the name of the loop is missing"),
        ("calls-none", "there is no callback"),
    ] {
        fails("--policy", &file, Some(name), says);
    }
    for (name, says) in [
        ("null-watcher", "new_watcher says that it has worked, and gave nothing"),
        ("lacks-add", "loophost_watcher_vtable lacks add_child_handler"),
    ] {
        fails("--watcher", &file, Some(name), says);
    }
}

#[test]
fn a_watcher_that_tells_of_no_exit_is_replaced() {
    let Some(file) = misbehaving() else { return };
    for (name, says) in [
        ("tells-nothing", "the event of a child has no loophost_child_exit"),
        ("reaps-blindly", "too small: set the size of loophost_child_exit first"),
    ] {
        let ended = run_with("--watcher", &file, Some(name));
        assert_eq!(ended.status.code(), Some(7), "{name}: {ended:?}");
        assert!(ended.stderr.contains(says), "{name}: {ended:?}");
    }
}

/// The policy of the fixture that has this name.
fn policy(plugin: &Plugin, name: &str) -> PolicyHandle {
    let base = PolicyHandle::new(DefaultEventLoopPolicy::new());
    plugin.new_policy(Some(name), &Options::new(), Some(base)).unwrap()
}

/// What a callback of one turn says, and what the exception handler is told.
fn one_callback(event_loop: &LoopHandle) -> Vec<String> {
    let said = Arc::new(Mutex::new(Vec::new()));
    let (callback, handler) = (said.clone(), said.clone());
    event_loop
        .set_exception_handler(Some(RepeatCallback::new(move |event| {
            let error = event.exception().unwrap().error.unwrap();
            handler.lock().unwrap().push(format!("{}: {error}", error.code().0));
            Ok(())
        })))
        .unwrap();
    event_loop
        .call_soon(Callback::local(move |_| {
            callback.lock().unwrap().push("called".to_owned());
            Ok(())
        }))
        .unwrap();
    event_loop.run_once(None).unwrap();
    event_loop.close().unwrap();
    let said = said.lock().unwrap();
    said.clone()
}

/// One test, for the fixture makes what was asked for last.
#[test]
fn misuse_of_callbacks_and_results_does_no_harm() {
    let Some(file) = misbehaving() else { return };
    let plugin = plugin::load(&file, &trust()).unwrap();
    let new_loop = |name: &str| policy(plugin, name).new_event_loop().unwrap();

    let twice = one_callback(&new_loop("calls-twice"));
    assert!(twice.len() == 2 && twice[0] == "called", "{twice:?}");
    assert!(twice[1].starts_with("4: there is no callback: it was called"), "{twice:?}");

    let elsewhere = one_callback(&new_loop("calls-elsewhere"));
    assert!(elsewhere.len() == 1 && elsewhere[0].starts_with("9: "), "{elsewhere:?}");

    let nothing = one_callback(&new_loop("tells-nothing"));
    assert_eq!(nothing, ["4: the event of a child has no loophost_child_exit, or one without its size"]);

    let error = policy(plugin, "gives-nothing").get_event_loop().unwrap_err();
    assert!(error.message().contains("get_event_loop says that it has worked"), "{error}");

    let error = new_loop("endless-stop").stop().unwrap_err();
    assert_eq!((error.code(), error.os_errno(), error.message().len()), (ErrorCode::OS, Some(5), 504));
    let error = new_loop("silent-stop").stop().unwrap_err();
    assert_eq!(error.message(), "stop has failed and gave no reason (code 0)");

    let odd = new_loop("odd");
    assert_eq!(odd.stat(Stat::TURNS), None);
    assert!(odd.name().chars().all(|c| c == '\u{fffd}'), "{}", odd.name());
}

#[test]
fn a_loop_that_is_given_through_c_is_the_same_object() {
    let Some(file) = c_plugin("tests/c-fixtures/forwarding.c", "forwarding", &[]) else { return };
    let plugin = plugin::load(&file, &trust()).unwrap();
    let policy = policy(plugin, "forwarding");
    let event_loop = policy.new_event_loop().unwrap();
    policy.set_event_loop(Some(event_loop.clone())).unwrap();
    assert!(policy.get_event_loop().unwrap().same(&event_loop));
    policy.set_event_loop(None).unwrap();
    event_loop.close().unwrap();
}

/// The default's loop says nothing, so it is the host that keeps other threads out.
#[test]
fn a_loop_that_is_bound_stays_in_its_thread() {
    let Some(file) = c_plugin("tests/c-fixtures/forwarding.c", "bound", &["BOUND"]) else { return };
    let plugins = Plugins::of(&[]);
    let file = plugins.add(Some(file)).unwrap();
    let ended =
        run(loophost(["plugin", "check", file.to_str().unwrap(), "--only", "loop/bound-to-its-thread"]));
    assert!(ended.status.success() && ended.stdout.contains("1 passed"), "{ended:?}");
}

/// The one in the fixture frees what it has in `close`, and would notice.
#[test]
fn a_closed_loop_is_not_called_any_more() {
    let Some(file) = misbehaving() else { return };
    let plugin = plugin::load(&file, &trust()).unwrap();
    let event_loop = policy(plugin, "frees-in-close").new_event_loop().unwrap();
    let capabilities = event_loop.capabilities();
    assert_ne!((capabilities, event_loop.stat(Stat::TURNS)), (0, None));
    event_loop.close().unwrap();
    event_loop.close().unwrap();
    assert!(event_loop.is_closed() && !event_loop.is_running() && event_loop.time() > 0);
    assert_eq!((event_loop.capabilities(), event_loop.stat(Stat::TURNS)), (0, None));
    assert!(!event_loop.supports(OpCode::NOP) && event_loop.extension("loophost.none/1").is_null());
    assert_eq!(event_loop.name(), "frees in close");
    assert_eq!(event_loop.stop().unwrap_err().code(), ErrorCode::LOOP_CLOSED);
}

#[test]
fn it_is_listed_and_inspected_like_any_other() {
    let plugins = Plugins::of(&[]);
    let Some(file) = plugins.add(c_plugin(C_POLICY, "loophost_c_policy", &[])) else { return };
    let ended = run(loophost(["plugin", "inspect", file.to_str().unwrap()]));
    let abi = abi(0);
    let expected = format!(
        "\
name      c-policy 0.1.0
summary   an example in C: event loops on select(2)
abi       {abi} in C, needs a host of {abi} or newer
offers    policy select: the default policy with loops on select(2)
usable    yes
"
    );
    assert_eq!(ended.stdout, format!("file      {}\n{expected}", file.display()), "{ended:?}");
    let folder = plugins.folder();
    let ended = run(loophost(["--plugin-path", folder.to_str().unwrap(), "plugin", "list"]));
    assert!(ended.stdout.contains("policy   c-policy   "), "{ended:?}");
}

#[test]
fn it_runs_programs_and_batches() {
    let Some(file) = c_plugin(C_POLICY, "loophost_c_policy", &[]) else { return };
    let ended = run_with("--policy", &file, None);
    assert_eq!((ended.status.code(), &*ended.stderr), (Some(7), ""), "{ended:?}");
    let plugins = Plugins::of(&[]);
    let file = plugins.add(Some(file)).unwrap();
    let values = (0..100).map(|n| n.to_string());
    let args = ["batch", "-j", "8", "--policy", file.to_str().unwrap(), "echo", "{}", ":::"];
    let ended = run(loophost(args.map(str::to_owned).into_iter().chain(values)));
    assert_eq!((ended.status.code(), ended.stdout.lines().count()), (Some(0), 100), "{ended:?}");
}
