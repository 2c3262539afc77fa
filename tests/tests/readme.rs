//! The README's examples work as they stand there.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, path::Path, process::Command};

use loophost_tests::{binary, cdylib, io_uring_works, libuv_works, require, workspace};
use tempfile::TempDir;

/// What the README calls the plugin in C that it has the reader build.
const IN_C: &str = "./libloophost_c_policy.so";

/// Builds the plugin in C with the README's own command, into a folder; nothing if there is no compiler.
fn build_in_c(folder: &Path) -> Option<String> {
    require("cc")?;
    let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
    let command = readme.lines().find_map(|line| line.strip_prefix("$ cc ")).unwrap();
    let file = folder.join(IN_C.trim_start_matches("./")).display().to_string();
    let command = format!("cc {}", command.replace(IN_C.trim_start_matches("./"), &file));
    let output = Command::new("sh").arg("-c").arg(&command).current_dir(workspace()).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    Some(file)
}

/// The README's command lines of `loophost`, with the servers that not everybody has replaced by `true`, and the folder
/// of a release build by that of this one. Without a compiler those about the plugin in C are left out.
fn examples(in_c: Option<&str>) -> Vec<Vec<String>> {
    let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
    let built = cdylib("limited-policy").parent().unwrap().display().to_string();
    cdylib("loophost-poll");
    cdylib("loophost-uring");
    cdylib("loophost-libuv");
    // Some say themselves what happens where there is no io_uring.
    let works = |line: &str| {
        (!line.contains("--policy uring --") || line.contains("--fallback") || io_uring_works())
            && (!line.contains("--policy libuv") || libuv_works())
    };
    let commands = readme
        .lines()
        .filter_map(|line| line.strip_prefix("$ "))
        .filter(|line| works(line))
        .filter_map(|line| {
            let line = line.split(" #").next()?.replace("./target/release", &built);
            let line = if line.contains(IN_C) { line.replace(IN_C, in_c?) } else { line };
            let (options, program) = line.split_once(" -- ").map_or((&*line, None), |(o, p)| (o, Some(p)));
            let mut words: Vec<_> = options.split_whitespace().map(str::to_owned).collect();
            if program.is_some() {
                words.extend(["--", "true"].map(str::to_owned));
            }
            // Batches take their values from files that only the reader has.
            let is_ours = words.contains(&"loophost".to_owned()) && !words.contains(&"batch".to_owned());
            is_ours.then_some(words)
        });
    commands.collect()
}

#[test]
fn the_examples_run() {
    let folder = TempDir::new().unwrap();
    let examples = examples(build_in_c(folder.path()).as_deref());
    assert!(examples.len() >= 7, "{examples:?}");
    for words in examples {
        let at = words.iter().position(|word| word == "loophost").unwrap();
        let variables = words[..at].iter().filter_map(|word| word.split_once('='));
        // Plugins are found in the folder of the binary, which is cargo's.
        let path = cdylib("limited-policy").parent().unwrap().to_owned();
        let output = Command::new(binary())
            .args(&words[at + 1..])
            .envs(variables)
            .env("LOOPHOST_PLUGIN_PATH", path)
            .output()
            .unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_two_commands_are_there() {
    let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
    let ci = fs::read_to_string(workspace().join(".ci/run")).unwrap();
    assert!(readme.contains("$ cargo run --release -- run -- CMD"));
    assert!(readme.contains("$ cargo test --workspace"));
    assert!(ci.contains("cargo test --workspace") && ci.contains("cargo run --release -- run -- "));
}

#[test]
fn every_option_in_the_readme_and_the_guide_exists() {
    let texts = ["README.md", "GUIDE.md"].map(|file| fs::read_to_string(workspace().join(file)).unwrap());
    let texts = texts.concat();
    let help = |arguments: &[&str]| {
        let output = Command::new(binary()).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let commands = [&["run"][..], &["batch"], &["plugin"], &["plugin", "check"], &["doctor"]];
    let help: String = commands.iter().map(|command| help(&[*command, &["--help"]].concat())).collect();
    let options = texts.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    for option in
        options.filter(|word| word.trim_start_matches('-').len() + 2 == word.len() && word.len() > 2)
    {
        let of_others = ["--release", "--workspace", "--open", "--best"].contains(&option);
        assert!(of_others || help.contains(option), "{option} is not in the help");
    }
}
