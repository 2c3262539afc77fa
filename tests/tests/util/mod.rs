//! Running the binary to its end, however that looks.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{
    ffi::OsStr,
    fs,
    io::{Read, Seek},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use loophost_tests::{binary, cdylib};
use tempfile::TempDir;

/// Longer than anything takes on the busiest machine.
const DEADLINE: Duration = Duration::from_secs(120);

/// How a run of the binary has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the binary. Its output goes to files, so that whoever else holds them cannot make this wait.
///
/// # Panics
/// A signal has ended it, or it does not end.
pub(crate) fn loophost<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Ended {
    let (folder, _) = folder();
    let file =
        |name| fs::File::options().create_new(true).read(true).write(true).open(folder.path().join(name));
    let (mut stdout, mut stderr) = (file("stdout").unwrap(), file("stderr").unwrap());
    let mut command = Command::new(binary());
    command.args(arguments);
    for variable in ["LOOPHOST_POLICY", "LOOPHOST_WATCHER", "LOOPHOST_PLUGIN_PATH", "LOOPHOST_LOG"] {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null()).stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
    let mut child = command.spawn().unwrap();
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > DEADLINE {
            child.kill().unwrap();
            panic!("{command:?} does not end");
        }
        thread::sleep(Duration::from_millis(2));
    };
    let read = |file: &mut fs::File| {
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (stdout, stderr) = (read(&mut stdout), read(&mut stderr));
    assert_eq!(status.signal(), None, "{command:?}: {stderr}");
    Ended { code: status.code().unwrap(), stdout, stderr }
}

/// A fresh folder of our own, by its canonical name.
pub(crate) fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().canonicalize().unwrap();
    (folder, path)
}

/// A copy of a fixture: in a folder that whoever runs the tests is trusted with.
pub(crate) fn copy(package: &str, to: &Path) -> PathBuf {
    copy_of(&cdylib(package), to)
}

pub(crate) fn copy_of(from: &Path, to: &Path) -> PathBuf {
    let path = to.join(from.file_name().unwrap());
    fs::copy(from, &path).unwrap();
    path
}

/// An offer of a plugin file, as one writes it.
pub(crate) fn offer(path: &Path, name: &str) -> String {
    format!("{}#{name}", path.display())
}
