//! `http-server` with curl and wrk.

use std::{
    env,
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    path::Path,
    process::{Command, Output},
};

use loophost_tests::{Loop, Server, on_each_loop, program, require};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tempfile::TempDir;

fn start(on: &Loop) -> Server {
    Server::start(on, program("http-server"), "listening on http://")
}

/// Nothing but SIGTERM has ended it.
fn stop(server: Server) {
    assert_eq!(server.stop().code(), 128 + 15);
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {stderr}", output.status);
    output
}

/// Writes bytes in which nothing repeats for long.
fn write_noise(file: &Path, size: u64) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(file)?);
    let mut state = 1u64;
    for _ in 0..size / 8 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        file.write_all(&state.to_be_bytes())?;
    }
    file.flush()
}

fn are_same(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (BufReader::new(File::open(one)?), BufReader::new(File::open(other)?));
    if one.get_ref().metadata()?.len() != other.get_ref().metadata()?.len() {
        return Ok(false);
    }
    let (mut some, mut others) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let count = one.read(&mut some)?;
        if count == 0 {
            return Ok(true);
        }
        other.read_exact(&mut others[..count])?;
        if some[..count] != others[..count] {
            return Ok(false);
        }
    }
}

#[test]
fn curl_gets_an_answer_and_much_data_there_and_back() {
    let Some(curl) = require("curl") else { return };
    let size = if env::var_os("LOOPHOST_FULL").is_some() { 1 << 30 } else { 16 << 20 };
    let folder = TempDir::new().unwrap();
    let (there, back) = (folder.path().join("there"), folder.path().join("back"));
    write_noise(&there, size).unwrap();
    on_each_loop(|on| {
        let server = start(on);
        let curl = || {
            let mut command = Command::new(&curl);
            command.args(["--silent", "--show-error", "--noproxy", "*", "--fail"]);
            command
        };
        let url = format!("http://{}", server.address);
        assert_eq!(succeed(curl().arg(format!("{url}/"))).stdout, b"hello\n");
        let missing = curl().arg(format!("{url}/nothing")).output().unwrap();
        assert_eq!(missing.status.code(), Some(22), "an HTTP error: {missing:?}");
        let mut post = curl();
        post.args(["--request", "POST", "--upload-file"]).arg(&there).arg("--output").arg(&back);
        succeed(post.arg(format!("{url}/echo")));
        assert!(are_same(&there, &back).unwrap(), "{}: what comes back is what was sent", on.name);
        stop(server);
    });
}

#[test]
fn wrk_finds_no_error() {
    let Some(wrk) = require("wrk") else { return };
    // For wrk and the server, which inherit it.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    on_each_loop(|on| {
        let server = start(on);
        for connections in [50, 1_000] {
            let mut command = Command::new(&wrk);
            command.args(["--threads", "2", "--duration", "2s", "--timeout", "60s"]);
            command.args(["--connections", &connections.min(on.room()).to_string()]);
            let output = succeed(command.arg(format!("http://{}/", server.address)));
            let report = String::from_utf8(output.stdout).unwrap();
            let bad = ["Socket errors", "Non-2xx", "unable"];
            assert!(!bad.iter().any(|bad| report.contains(bad)), "{}: {report}", on.name);
            let requests = report.lines().find_map(|line| line.trim().split_once(" requests in "));
            let (requests, _) = requests.unwrap_or_else(|| panic!("{report}"));
            assert!(requests.parse::<u64>().unwrap() > 0, "{report}");
        }
        stop(server);
    });
}
