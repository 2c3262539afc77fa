//! The exit statuses.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::symlink,
};

use loophost_tests::{Started, eventually};

use crate::{batch, run};

#[test]
fn the_statuses() {
    let table: [(&[&str], i32); 15] = [
        (&["true", ":::", "a"], 0),
        (&["false", ":::", "a"], 123),
        (&["sh", "-c", "kill -9 $$", ":::", "a"], 123),
        (&["--halt", "soon", "-j1", "false", ":::", "a", "b"], 124),
        (&["--halt", "now,fail=2", "-j1", "false", ":::", "a", "b", "c"], 124),
        (&["--halt", "now,fail=2", "false", ":::", "a"], 123),
        (&["/nonexistent/program", ":::", "a"], 127),
        (&["/etc", ":::", "a"], 126),
        (&["--policy", "nonexistent", "true", ":::", "a"], 125),
        (&["--halt", "later", "true", ":::", "a"], 125),
        (&["-j0", "true", ":::", "a"], 125),
        (&["", ":::", "a"], 125),
        (&["true", ":::", "a", ":::", "b"], 125),
        (&["--timeout", "0", "sh", "-c", "sleep 0.1", ":::", "a"], 0),
        (&[], 125),
    ];
    for (args, expected) in table {
        assert_eq!(run(args, "").code(), expected, "{args:?}");
    }
}

#[test]
fn a_program_that_disappears_counts_more_than_the_failures_that_follow() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    symlink("/bin/sh", &program).unwrap();
    // The first job waits until the second one could not be started, and fails then.
    let script = "rm \"$0\"; until [ -e \"$1\" ]; do sleep 0.01; done; exit 1";
    let go = folder.path().join("go");
    let (reader, mut values) = io::pipe().unwrap();
    let mut command = batch(&["-j2", "--halt", "soon"]);
    command.arg(&program).args(["-c", script]).args([&program, &go]).stdin(reader);
    let started = Started::new(command);
    values.write_all(b"a\n").unwrap();
    eventually("the end of the program", || (!program.exists()).then_some(()));
    values.write_all(b"b\n").unwrap();
    eventually("a failure", || started.stderr().contains("no such file").then_some(()));
    fs::write(go, "").unwrap();
    assert_eq!(started.wait().code(), 127);
}
