//! Which policy and watcher: flags, environment, fallback, options, and `--explain`.

use std::{path::Path, process::Command};

use loophost_tests::{Ended, Plugins, loophost, run};

/// `loophost ARGS…` with these variables.
fn run_with(variables: &[(&str, &str)], args: &[&str]) -> Ended {
    let mut command: Command = loophost(args);
    command.envs(variables.iter().copied());
    run(command)
}

/// What `--explain` prints, with the folder of the plugins replaced.
fn explain(plugins: &Plugins, variables: &[(&str, &str)], options: &[&str]) -> String {
    let folder = plugins.folder();
    let mut args = vec!["run", "--explain", "--plugin-path", text(&folder)];
    args.extend(options);
    let ended = run_with(variables, &args);
    assert_eq!(ended.status.code(), Some(0), "{options:?}: {}", ended.stderr);
    ended.stdout.replace(text(&folder), "PLUGINS")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_default_is_explained() {
    let explained = explain(&Plugins::new(), &[], &["--watcher", "threaded"]);
    let expected = "\
policy   default
         chosen by: default
         built in
loop     SelectorEventLoop
         made by the policy
watcher  threaded
         is ThreadedChildWatcher
         chosen by: --watcher
         built in
exports  LOOPHOST_WATCHER=threaded
";
    assert_eq!(explained, expected);
}

#[test]
fn a_plugin_is_explained_with_its_file_and_the_reason() {
    let plugins = Plugins::new();
    let explained = explain(&plugins, &[], &["--policy", "poll", "--watcher", "pidfd"]);
    let expected = "\
policy   poll
         chosen by: --policy
         from: PLUGINS/libloophost_poll.so (poll 0.1.0)
         found in: --plugin-path
loop     PollEventLoop
         made by the policy
watcher  pidfd
         is PidfdChildWatcher
         chosen by: --watcher
         built in
exports  LOOPHOST_POLICY=PLUGINS/libloophost_poll.so#poll
exports  LOOPHOST_WATCHER=pidfd
";
    assert_eq!(explained, expected);
    let file = plugins.file("libloophost_poll.so");
    let by_path = explain(&plugins, &[], &["--policy", text(&file)]);
    assert!(by_path.starts_with("policy   PLUGINS/libloophost_poll.so\n"), "{by_path}");
    assert!(!by_path.contains("found in"), "{by_path}");
}

#[test]
fn a_version_of_asyncio_chooses_the_watcher() {
    let plugins = Plugins::new();
    for (version, watcher) in [("3.7", "Safe"), ("3.8", "Threaded"), ("3.9", "Threaded")] {
        let explained = explain(&plugins, &[], &["--compat", version]);
        let watcher = format!("watcher  {watcher}ChildWatcher\n");
        let compat = format!("compat   {version}\n         chosen by: --compat\n");
        assert!(explained.contains(&watcher) && explained.contains(&compat), "{explained}");
    }
    let both = explain(&plugins, &[("LOOPHOST_COMPAT", "3.7")], &["--compat", "3.8"]);
    assert!(both.contains("chosen by: --compat\n         overrides: 3.7 (LOOPHOST_COMPAT)\n"), "{both}");
    let wrong = run_with(&[("LOOPHOST_COMPAT", "3.6")], &["run", "true"]);
    assert_eq!(wrong.status.code(), Some(125));
    assert!(wrong.stderr.contains("LOOPHOST_COMPAT: there is no profile 3.6"), "{}", wrong.stderr);
    let program = ["--", "sh", "-c", "exit 3"];
    for version in ["3.7", "3.8", "3.9", "3.12"] {
        let ended = run_with(&[], &[&["run", "--compat", version], &program[..]].concat());
        assert_eq!((ended.status.code(), &*ended.stderr), (Some(3), ""), "{version}");
    }
}

#[test]
fn a_deprecated_watcher_is_told_of_unless_that_is_silenced() {
    let silenced = |variables: &[(&str, &str)], flags: &[&str]| {
        let program = ["--watcher", "fast", "--", "sh", "-c", "exit 3"];
        let ended = run_with(variables, &[&["run"], flags, &program[..]].concat());
        assert_eq!(ended.status.code(), Some(3), "{}", ended.stderr);
        assert!(
            ended.stderr.is_empty() || ended.stderr.contains("code=\"fast_child_watcher\""),
            "{}",
            ended.stderr
        );
        ended.stderr.is_empty()
    };
    assert!(!silenced(&[], &[]));
    assert!(!silenced(&[], &["--silence", "safe_child_watcher"]));
    assert!(silenced(&[], &["--silence", "safe_child_watcher,fast_child_watcher"]));
    assert!(silenced(&[("LOOPHOST_SILENCE", "fast_child_watcher")], &["--silence", "set_child_watcher"]));
    assert!(silenced(&[], &["--compat", "3.9"]));
    assert!(silenced(&[], &["--log", "warn,loophost::deprecated=off"]));
    let wrong = run_with(&[("LOOPHOST_SILENCE", "everything")], &["run", "true"]);
    assert_eq!(wrong.status.code(), Some(125));
    assert!(wrong.stderr.contains("LOOPHOST_SILENCE") && wrong.stderr.contains("get_child_watcher"));
}

#[test]
fn explaining_starts_nothing() {
    let explained = explain(&Plugins::new(), &[], &["--", "sh", "-c", "echo started"]);
    assert!(!explained.contains("started"), "{explained}");
}

#[test]
fn a_flag_is_stronger_than_the_environment_and_that_than_the_default() {
    let plugins = Plugins::new();
    let both = [("LOOPHOST_POLICY", "poll"), ("LOOPHOST_WATCHER", "threaded")];
    let by_environment = explain(&plugins, &both, &[]);
    assert!(
        by_environment.starts_with("policy   poll\n         chosen by: LOOPHOST_POLICY\n"),
        "{by_environment}"
    );
    assert!(by_environment.contains("loop     PollEventLoop\n"), "{by_environment}");
    assert!(
        by_environment.contains(
            "watcher  threaded\n         is ThreadedChildWatcher\n         chosen by: LOOPHOST_WATCHER\n"
        ),
        "{by_environment}"
    );
    let by_flag = explain(&plugins, &both, &["--policy", "default", "--watcher", "pidfd"]);
    assert!(by_flag.starts_with("policy   default\n         chosen by: --policy\n"), "{by_flag}");
    assert!(by_flag.contains("loop     SelectorEventLoop\n"), "{by_flag}");
    assert!(
        by_flag.contains("watcher  pidfd\n         is PidfdChildWatcher\n         chosen by: --watcher\n")
    );
    let empty = explain(&plugins, &[("LOOPHOST_POLICY", ""), ("LOOPHOST_WATCHER", "")], &[]);
    assert_eq!(empty, explain(&plugins, &[], &[]));
}

#[test]
fn the_environment_s_choice_must_work_too() {
    let ended = run_with(&[("LOOPHOST_POLICY", "no-such-plugin")], &["run", "--", "true"]);
    assert_eq!(ended.status.code(), Some(125));
    assert!(ended.stderr.contains("no-such-plugin: there is no plugin of this name"), "{}", ended.stderr);
    let ended =
        run_with(&[("LOOPHOST_POLICY", "no-such-plugin")], &["run", "--policy", "default", "--", "true"]);
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
}

#[test]
fn plugins_are_found_through_the_environment() {
    let plugins = Plugins::new();
    let folder = plugins.folder();
    let variables = [("LOOPHOST_PLUGIN_PATH", text(&folder))];
    let ended = run_with(&variables, &["run", "--explain", "--policy", "limited-policy"]);
    assert!(ended.stdout.contains("found in: LOOPHOST_PLUGIN_PATH\n"), "{}{}", ended.stdout, ended.stderr);
}

#[test]
fn the_current_folder_is_not_searched() {
    // Under a name that the folders of the build do not have.
    let plugins = Plugins::new();
    std::fs::rename(plugins.file("libloophost_poll.so"), plugins.file("libloophost_only_here.so")).unwrap();
    let mut command = loophost(["run", "--policy", "only-here", "--", "true"]);
    command.current_dir(plugins.folder());
    assert_eq!(run(command).status.code(), Some(125));
    for policy in ["./libloophost_only_here.so", "./libloophost_only_here.so#poll"] {
        let mut command = loophost(["run", "--policy", policy, "--", "true"]);
        command.current_dir(plugins.folder());
        assert_eq!(run(command).status.code(), Some(0), "{policy}");
    }
}

#[test]
fn fallback_runs_on_the_default_with_a_warning() {
    let plugins = Plugins::new();
    let folder = plugins.folder();
    let cases: [&[&str]; 5] = [
        &["--policy", "no-such-plugin"],
        &["--policy", "/etc/passwd"],
        &["--watcher", "no-such-plugin"],
        &["--policy", "limited-policy", "--policy-opt", "max=x"],
        // It can be made, and not be used.
        &["--policy", "limited-policy", "--policy-opt", "max=0"],
    ];
    for case in cases {
        let mut args = vec!["run", "--plugin-path", text(&folder), "--fallback"];
        args.extend(case);
        args.extend(["--", "sh", "-c", "exit 3"]);
        let ended = run(loophost(&args));
        assert_eq!(ended.status.code(), Some(3), "{case:?}: {}", ended.stderr);
        let kind = &case[0][2..];
        assert!(
            ended.stderr.contains(&format!("falling back to the default {kind}")),
            "{case:?}: {}",
            ended.stderr
        );
        let explained = explain(&plugins, &[], &[&["--fallback"], case].concat());
        assert!(explained.contains(&format!("built in; fell back from {}: ", case[0])), "{explained}");
        assert!(explained.contains("loop     SelectorEventLoop\n"), "{explained}");
    }
    // What was written wrong is no reason to fall back.
    let ended = run(loophost(["run", "--fallback", "--policy", "a b", "--", "true"]));
    assert_eq!(ended.status.code(), Some(125));
}

#[test]
fn options_reach_the_plugin() {
    let plugins = Plugins::new();
    let limited = plugins.file("liblimited_policy.so");
    let run_with_max = |variables: &[(&str, &str)], policy: &[&str], max: &str| {
        let mut args = vec!["--log", "limited_policy=info", "run"];
        args.extend(policy);
        args.extend(["--policy-opt", max, "--", "true"]);
        run_with(variables, &args).stderr
    };
    for max in [1, 7] {
        let option = format!("max={max}");
        let expected = format!(" INFO limited_policy: making an event loop made=1 max={max}\n");
        assert_eq!(run_with_max(&[], &["--policy", text(&limited)], &option), expected);
        // The option belongs to whatever policy is chosen.
        let variables = [("LOOPHOST_POLICY", text(&limited))];
        assert_eq!(run_with_max(&variables, &[], &option), expected);
    }
}

#[test]
fn an_empty_plugin_path_is_no_reason_to_warn() {
    for list in ["", ":", "/nowhere:"] {
        let ended = run_with(&[("LOOPHOST_PLUGIN_PATH", list)], &["run", "--", "true"]);
        assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""), "{list:?}");
    }
}
