//! The program gets exactly what loophost got: each case is compared with the program started directly.

use std::{
    ffi::OsStr,
    fs::File,
    io::{Seek, Write},
    os::{
        fd::AsRawFd,
        unix::{ffi::OsStrExt, process::CommandExt},
    },
    process::Command,
};

use loophost_tests::{Plugins, Setup, command, loophost, run};
use nix::sys::{
    signal::{SigHandler, SigSet, Signal, signal},
    stat::{Mode, umask},
};
use tempfile::TempDir;

/// What a program prints when it is started directly, and by loophost in each way; they must be equal.
fn same<const N: usize>(program: [&str; N], prepare: impl Fn(&mut Command)) -> String {
    let direct = directly(program, &prepare);
    let plugins = Plugins::new();
    for mut setup in plugins.setups() {
        // What was chosen is told in variables: `exporting` has that.
        setup.options.push("--no-export".into());
        assert_eq!(through(&setup, program, &prepare), direct, "{setup:?}");
    }
    direct
}

fn directly<const N: usize>(program: [&str; N], prepare: &impl Fn(&mut Command)) -> String {
    let mut command = command(program[0]);
    command.args(&program[1..]);
    prepare(&mut command);
    let ended = run(command);
    assert!(ended.status.success(), "{program:?}: {}", ended.stderr);
    ended.stdout
}

fn through<const N: usize>(setup: &Setup, program: [&str; N], prepare: &impl Fn(&mut Command)) -> String {
    let mut command = loophost(setup.run(program));
    prepare(&mut command);
    let ended = run(command);
    assert!(ended.status.success(), "{setup:?} {program:?}: {} {}", ended.status, ended.stderr);
    ended.stdout
}

/// The lines of `/proc/PID/status` that begin with these words.
fn fields(status: &str, names: &[&str]) -> Vec<String> {
    let wanted = |line: &&str| names.iter().any(|name| line.starts_with(&format!("{name}:")));
    let found: Vec<_> = status.lines().filter(wanted).map(str::to_owned).collect();
    assert_eq!(found.len(), names.len(), "{status}");
    found
}

const SIGNAL_FIELDS: [&str; 2] = ["SigBlk", "SigIgn"];

/// Has the command start with these signals ignored and blocked.
fn with_signals(command: &mut Command, ignored: &'static [Signal], blocked: &'static [Signal]) {
    let block = move || {
        for one in ignored {
            // SAFETY: SIG_IGN runs no code.
            unsafe { signal(*one, SigHandler::SigIgn) }?;
        }
        let set: SigSet = blocked.iter().copied().collect();
        Ok(set.thread_set_mask()?)
    };
    // SAFETY: signal and sigprocmask are async-signal-safe, and nothing is allocated.
    unsafe { command.pre_exec(block) };
}

#[test]
fn blocked_and_ignored_signals() {
    let cases: [(&[Signal], &[Signal]); 7] = [
        (&[], &[]),
        (&[Signal::SIGPIPE], &[]),
        (&[Signal::SIGUSR1], &[]),
        (&[], &[Signal::SIGUSR1]),
        (&[Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP], &[]),
        (&[Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU], &[Signal::SIGCHLD, Signal::SIGTERM]),
        (&[Signal::SIGWINCH, Signal::SIGPIPE], &[Signal::SIGPIPE, Signal::SIGTTOU, Signal::SIGTSTP]),
    ];
    let plugins = Plugins::new();
    for (ignored, blocked) in cases {
        let prepare = |command: &mut Command| with_signals(command, ignored, blocked);
        let status = ["cat", "/proc/self/status"];
        let direct = fields(&directly(status, &prepare), &SIGNAL_FIELDS);
        for setup in plugins.setups() {
            let through = fields(&through(&setup, status, &prepare), &SIGNAL_FIELDS);
            assert_eq!(through, direct, "{setup:?} {ignored:?} {blocked:?}");
        }
    }
}

#[test]
fn ignored_children_are_waited_for_all_the_same() {
    let plugins = Plugins::new();
    for setup in plugins.setups() {
        let mut command = loophost(setup.run(["sh", "-c", "cat /proc/self/status; exit 3"]));
        with_signals(&mut command, &[Signal::SIGCHLD], &[]);
        let ended = run(command);
        assert_eq!(ended.status.code(), Some(3), "{setup:?}: {}", ended.stderr);
        // The one exception: a program that ignores SIGCHLD without knowing cannot wait for its own children.
        let ignored = fields(&ended.stdout, &["SigIgn"])[0].replace("SigIgn:\t", "");
        let ignored = u64::from_str_radix(&ignored, 16).unwrap();
        assert_eq!(ignored & 1 << (libc::SIGCHLD - 1), 0, "{setup:?}");
    }
}

#[test]
fn arguments_environment_and_folder() {
    let folder = TempDir::new().unwrap();
    let prepare = |command: &mut Command| {
        command
            .env("EMPTY", "")
            .env("LOOPHOST_TEST", OsStr::from_bytes(b"\xff=\n"))
            .current_dir(folder.path());
    };
    let environment = same(["cat", "/proc/self/environ"], prepare);
    assert!(environment.contains("\0EMPTY=\0"));
    let arguments = ["printf", "<%s>", "", " ", "a\nb", "--", "ä"];
    assert_eq!(same(arguments, prepare), "<>< ><a\nb><--><ä>");
    let path = folder.path().canonicalize().unwrap();
    assert_eq!(same(["readlink", "/proc/self/cwd"], prepare), format!("{}\n", path.display()));
    // Its own name is as it was written.
    assert_eq!(same(["sh", "-c", "echo $0"], prepare), "sh\n");
}

#[test]
fn limits_and_the_rest_of_the_process() {
    let prepare = |command: &mut Command| {
        // SAFETY: the call is async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                umask(Mode::from_bits_truncate(0o027));
                Ok(())
            });
        }
    };
    same(["cat", "/proc/self/limits"], prepare);
    let names =
        ["Umask", "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs"];
    let status = ["cat", "/proc/self/status"];
    let plugins = Plugins::new();
    let direct = fields(&directly(status, &prepare), &names);
    for setup in plugins.setups() {
        assert_eq!(fields(&through(&setup, status, &prepare), &names), direct, "{setup:?}");
    }
}

/// Writes the numbers of its descriptors to the file that `FILE` names.
const DESCRIPTORS: &str = r#"
for link in /proc/$$/fd/*; do
    # The one that reads the folder is gone by now.
    if [ -L "$link" ]; then all="$all ${link##*/}"; fi
done
echo "descriptors:$all" > "$FILE"
"#;

#[test]
fn closed_streams_stay_closed_and_nothing_leaks() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("descriptors");
    let plugins = Plugins::new();
    for closed in 0_u8..8 {
        let close = |command: &mut Command| {
            // SAFETY: close is async-signal-safe; the streams belong to the command.
            unsafe {
                command.pre_exec(move || {
                    (0..3).filter(|fd| closed & 1 << fd != 0).for_each(|fd| {
                        libc::close(fd);
                    });
                    Ok(())
                });
            }
            command.env("FILE", &file);
        };
        directly(["sh", "-c", DESCRIPTORS], &close);
        let direct = std::fs::read_to_string(&file).unwrap();
        // There may be more: what the tests themselves have inherited.
        let is_open = |fd: u8| direct.split_whitespace().any(|number| number == fd.to_string());
        assert!((0..3).all(|fd| is_open(fd) == (closed & 1 << fd == 0)), "{closed:03b}: {direct}");
        for setup in plugins.setups() {
            std::fs::remove_file(&file).unwrap();
            through(&setup, ["sh", "-c", DESCRIPTORS], &close);
            assert_eq!(std::fs::read_to_string(&file).unwrap(), direct, "{setup:?}");
        }
    }
}

#[test]
fn an_inherited_descriptor_is_passed_on() {
    // As a service manager passes a socket: LISTEN_FDS=1, descriptor 3.
    let mut content = tempfile::tempfile().unwrap();
    content.write_all(b"through descriptor 3\n").unwrap();
    let prepare = |command: &mut Command| {
        let mut copy: File = content.try_clone().unwrap();
        copy.rewind().unwrap();
        command.env("LISTEN_FDS", "1");
        // SAFETY: dup2 is async-signal-safe. A copy of a descriptor onto itself would stay close-on-exec.
        unsafe {
            command.pre_exec(move || {
                let number = copy.as_raw_fd();
                let done = if number == 3 { libc::fcntl(3, libc::F_SETFD, 0) } else { libc::dup2(number, 3) };
                if done < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
            });
        }
    };
    assert_eq!(same(["sh", "-c", "cat <&3"], prepare), "through descriptor 3\n");
}

#[test]
fn standard_input_is_the_program_s() {
    let mut input = tempfile::tempfile().unwrap();
    input.write_all(b"line 1\nline 2\n").unwrap();
    let prepare = |command: &mut Command| {
        let mut copy = input.try_clone().unwrap();
        copy.rewind().unwrap();
        command.stdin(copy);
    };
    assert_eq!(same(["cat"], prepare), "line 1\nline 2\n");
}
