//! What programs and shells read of loophost: completions, and log lines as objects.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::process::Command;

use loophost_tests::{Plugins, binary, loophost, require, run};

#[test]
fn completions_know_the_commands_and_the_shell_can_read_them() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = Command::new(binary()).args(["completions", shell]).output().unwrap();
        assert!(output.status.success());
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("batch") && script.contains("keep-order"), "{shell}: {script}");
        if shell == "bash"
            && let Some(bash) = require("bash")
        {
            let file = folder.path().join("loophost");
            std::fs::write(&file, script).unwrap();
            let complete = "source $0; COMP_WORDS=(loophost ba); COMP_CWORD=1; _loophost loophost ba; \
                            echo ${COMPREPLY[@]}";
            let output = Command::new(bash).args(["-c", complete]).arg(&file).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "batch");
        }
    }
    let unknown = Command::new(binary()).args(["completions", "tcsh"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(125));
}

#[test]
fn log_lines_may_be_objects() {
    let plugins = Plugins::new();
    let output = Command::new(binary())
        .args(["run", "--log", "info", "--log-format", "json", "--policy"])
        .arg(plugins.file("liblimited_policy.so"))
        .args(["--", "true"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stderr).unwrap();
    let line: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!((line["level"].as_str(), line["target"].as_str()), (Some("INFO"), Some("limited_policy")));
    assert_eq!(line["fields"]["made"], "1");
    assert!(line["timestamp"].is_string());
}

#[test]
fn so_are_errors() {
    let ended = run(loophost(["run", "--log-format", "json", "--", "/no/program"]));
    let line: serde_json::Value = serde_json::from_str(&ended.stderr).unwrap();
    assert_eq!((line["level"].as_str(), line["target"].as_str()), (Some("ERROR"), Some("loophost")));
    assert!(line["fields"]["message"].as_str().unwrap().contains("/no/program"), "{line}");
}
