//! Limits of descriptors, processes, memory and file sizes.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::Write,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::PathBuf,
    process::{Child, Command},
};

use loophost_tests::{Ended, binary, command, eventually, loophost, skip};
use nix::{
    sys::resource::Resource,
    unistd::{Uid, geteuid},
};
use tempfile::TempDir;

use crate::{
    promise::{args, batch, batch_is_kept, on_default, on_poll, plugins, refused, run_is_kept},
    sandbox::Sandbox,
};

/// Nobody else's, so that RLIMIT_NPROC counts the processes of one test only.
const USER: u32 = 54_321;
/// The same for another test.
const OTHER_USER: u32 = 54_322;

/// loophost was not started at all: its loader has failed.
fn is_the_loader_s(ended: &Ended) -> bool {
    ended.status.code() == Some(127) && ended.stderr.contains("error while loading shared libraries: ")
}

/// There was memory for a thread's stack, and nothing beside it, which Rust's runtime does not survive.
fn is_the_runtime_s(ended: &Ended) -> bool {
    ended.status.signal() == Some(libc::SIGABRT)
        && ended.stderr.contains("failed to allocate an alternative stack")
}

/// The status is that of the program, or 125 with a message; whether it is the first.
fn runs_or_says_why(ended: &Ended, expected: i32, what: &str) -> bool {
    let runs = ended.status.code() == Some(expected);
    if !runs {
        refused(ended, what);
    }
    runs
}

/// With `LOOPHOST_FULL` any; otherwise any until it works, and some that are more.
#[test]
fn with_any_number_of_descriptors_it_works_or_says_why() {
    let plugins = plugins();
    let is_full = env::var_os("LOOPHOST_FULL").is_some();
    for options in [on_default(), on_poll(&plugins)].concat() {
        for (args, expected) in [(args("run", &options, &["true"]), 0), (batch(&options), 123)] {
            let mut worked = false;
            for limit in 3..=40 {
                if worked && !is_full && limit % 4 != 0 {
                    continue;
                }
                let ended = Sandbox::new().limit(Resource::RLIMIT_NOFILE, limit).run(&args);
                let what = format!("{limit} descriptors, {args:?}");
                if is_the_loader_s(&ended) {
                    assert_eq!(limit, 3, "{what}: {}", ended.stderr);
                    continue;
                }
                let works = runs_or_says_why(&ended, expected, &what);
                assert!(works || !worked, "{what}: fewer have been enough; {}", ended.stderr);
                worked = works;
            }
            assert!(worked, "40 descriptors are enough for {args:?}");
        }
        // Enough for one job at a time, and each job is run once.
        batch_is_kept(&Sandbox::new().limit(Resource::RLIMIT_NOFILE, 16), &options);
    }
}

#[test]
fn a_program_that_nobody_can_watch_is_not_left_behind() {
    // It ends when it is killed or its input ends, which is after loophost's end.
    for watcher in on_default() {
        for limit in 4..=16 {
            let (input, ours) = std::io::pipe().unwrap();
            let mut command =
                loophost(args("run", &watcher, &["sh", "-c", "echo started; read line; exit 3"]));
            command.stdin(input);
            let confined = Sandbox::new().limit(Resource::RLIMIT_NOFILE, limit).start(command);
            eventually("a program that is started, or the end", || {
                let started = confined.started.stdout() == "started\n";
                (started || confined.started.ended().is_some()).then_some(())
            });
            // Kept open only if loophost is gone: then nothing else may end the program.
            let ours = Some(ours).filter(|_| confined.started.ended().is_some());
            let ended = confined.wait();
            runs_or_says_why(&ended, 3, &format!("{limit} descriptors, {watcher:?}"));
            drop(ours);
        }
    }
}

/// loophost where every user may execute it: the build's folders may be closed to others.
struct Copy(TempDir);

impl Copy {
    fn new() -> Self {
        let copy = Self(TempDir::new().unwrap());
        fs::set_permissions(copy.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
        // By another process: here a fork of another test could hold it open for writing, and then it cannot be executed.
        assert!(Command::new("cp").arg(binary()).arg(copy.path()).status().unwrap().success());
        copy
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("loophost")
    }

    fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = command(self.path());
        command.args(args).current_dir("/");
        command
    }
}

#[test]
fn with_any_number_of_processes_it_works_or_says_why() {
    if !geteuid().is_root() {
        return skip("only root can become a user who has no processes");
    }
    let copy = Copy::new();
    for options in on_default() {
        for (args, expected) in [(args("run", &options, &["true"]), 0), (batch(&options), 123)] {
            let outcomes: Vec<_> = (0..=12)
                .map(|limit| {
                    let sandbox =
                        Sandbox::new().limit(Resource::RLIMIT_NPROC, limit).user(Uid::from_raw(USER));
                    let command = copy.command(&args);
                    let ended = sandbox.run_command(command);
                    runs_or_says_why(&ended, expected, &format!("{limit} processes, {args:?}"))
                })
                .collect();
            assert_eq!((outcomes[0], outcomes[12]), (false, true), "{args:?}");
        }
    }
}

/// Programs that do nothing, as long as this lives.
struct Others(Vec<Child>);

impl Others {
    fn as_many_as_possible(sandbox: &Sandbox) -> Self {
        let start = || {
            let mut other = Command::new("sleep");
            sandbox.shut_in(other.arg("600").current_dir("/"));
            other.spawn()
        };
        let mut others = Self(Vec::new());
        let error = loop {
            match start() {
                Ok(other) => others.0.push(other),
                Err(error) => break error,
            }
        };
        assert_eq!(error.raw_os_error(), Some(libc::EAGAIN));
        others
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        for other in &mut self.0 {
            let _ = other.kill();
            let _ = other.wait();
        }
    }
}

/// Others of the same user take the last process while none of the batch's runs, and give it back.
#[test]
fn a_batch_waits_for_what_others_have() {
    if !geteuid().is_root() {
        return skip("only root can become a user who has no processes");
    }
    const LIMIT: u64 = 16;
    let sandbox = Sandbox::new().limit(Resource::RLIMIT_NPROC, LIMIT).user(Uid::from_raw(OTHER_USER));
    let copy = Copy::new();
    let (input, mut values) = std::io::pipe().unwrap();
    let mut command = copy.command(["batch", "echo"]);
    command.stdin(input);
    let confined = sandbox.start(command);
    values.write_all(b"first\n").unwrap();
    eventually("the first job", || (confined.started.stdout() == "first\n").then_some(()));
    let others = Others::as_many_as_possible(&sandbox);
    values.write_all(b"second\n").unwrap();
    let is_told = || confined.started.stderr().contains("waiting until the next job can be started");
    eventually("a job that cannot be started", || is_told().then_some(()));
    drop(others);
    eventually("the second job", || (confined.started.stdout() == "first\nsecond\n").then_some(()));
    drop(values);
    assert_eq!(confined.wait().status.code(), Some(0));
}

#[test]
fn with_any_amount_of_memory_it_works_or_says_why() {
    const MEBIBYTE: u64 = 1 << 20;
    let sandbox = |limit| Sandbox::new().limit(Resource::RLIMIT_AS, limit * MEBIBYTE);
    let is_enough_to_begin = |limit: &u64| {
        let confined = sandbox(*limit).start(loophost(["--version"]));
        confined.started.wait().status.success()
    };
    let least = (4..).find(is_enough_to_begin).unwrap();
    for (args, expected) in [(args("run", &vec![], &["true"]), 0), (batch(&vec![]), 123)] {
        let mut worked = false;
        for limit in least..least + 24 {
            // One more than the least: beginning takes a little more or less from time to time.
            let confined = sandbox(limit + 1).start(loophost(&args));
            if is_the_runtime_s(&confined.started.wait()) {
                continue;
            }
            let ended = confined.wait();
            worked = runs_or_says_why(&ended, expected, &format!("{limit} MiB, {args:?}"));
        }
        assert!(worked, "{} MiB are enough for {args:?}", least + 24);
    }
}

#[test]
fn a_file_that_may_not_grow_is_an_error_and_no_signal() {
    let sandbox = Sandbox::new().limit(Resource::RLIMIT_FSIZE, 0);
    // What tests get of loophost goes to files: there is no message.
    for args in [
        &["batch", "echo", ":::", "1", "2"][..],
        &["batch", "--json", "true", ":::", "1"],
        &["run", "--explain"],
        &["plugin", "list"],
        &["doctor"],
        &["completions", "bash"],
        &["--help"],
        &["--version"],
        &["batch", "-j1", "sh", "-c", "head -c 300000 /dev/zero", ":::", "1"],
    ] {
        let ended = sandbox.run(args);
        assert_eq!(ended.status.code(), Some(125), "{args:?}");
    }
    // The program is not loophost: it gets the signal that loophost does not mind.
    let ended = sandbox.run(["--log", "debug", "run", "--", "sh", "-c", "ulimit -c 0; echo out"]);
    assert_eq!(ended.status.code(), Some(128 + libc::SIGXFSZ));
    let ended = sandbox.run(["--log", "debug", "run", "--", "sh", "-c", "exit 3"]);
    assert_eq!(ended.status.code(), Some(3));
}

#[test]
fn a_spill_that_may_not_grow_is_an_error() {
    let script = "\"$0\" batch -j1 sh -c 'head -c 300000 /dev/zero' ::: 1 2>&1 >/dev/null |
                  grep -q 'loophost: keeping the output of job 1 in .*: File too large'";
    let mut command = command("sh");
    command.args(["-c", script]);
    command.arg(binary());
    let ended = Sandbox::new().limit(Resource::RLIMIT_FSIZE, 0).run_command(command);
    assert_eq!(ended.status.code(), Some(0));
}

#[test]
fn ample_limits_change_nothing() {
    let sandbox = Sandbox::new().limit(Resource::RLIMIT_NOFILE, 64).limit(Resource::RLIMIT_FSIZE, 1 << 20);
    for options in on_default() {
        assert_eq!(run_is_kept(&sandbox, &options), "");
    }
}
