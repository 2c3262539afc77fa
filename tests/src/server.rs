//! A server that was started on some loop.

use std::{fs, net::SocketAddr, path::PathBuf};

use nix::{sys::signal::Signal, unistd::Pid};

use crate::{Ended, Started, each_loop::Loop, proc};

/// A program of ours that listens, below `loophost run`.
pub struct Server {
    started: Started,
    /// Where it listens.
    pub address: SocketAddr,
    /// The server itself, below `loophost run`.
    pub pid: Pid,
}

impl Server {
    /// Starts it on a port that is free. It says where that is after `says`.
    pub fn start(on: &Loop, program: PathBuf, says: &str) -> Self {
        let started = Started::new(on.run(program, ["127.0.0.1:0"]));
        let address = started.line(says).parse().expect("the server says where it listens");
        let [server] = &proc::children(started.pid())[..] else { panic!("loophost runs one program") };
        let pid = server.pid;
        // The policy is really in there.
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("the server runs");
        assert!(on.file.as_ref().is_none_or(|file| maps.contains(&*file.to_string_lossy())), "{}", on.name);
        Self { started, address, pid }
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid)).expect("the server runs").count()
    }

    /// Sends SIGTERM and waits for the end. It must not have complained.
    pub fn stop(self) -> Ended {
        self.started.signal(Signal::SIGTERM);
        let ended = self.started.wait();
        assert_eq!(ended.stderr, "");
        ended
    }
}
