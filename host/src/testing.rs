//! What the conformance suite, `loophost-testkit`, needs of the host. For tests of plugins; feature `testing`.
//!
//! ```
//! use loophost::{PolicyHandle, policy::DefaultEventLoopPolicy, testing::HostHarness};
//! use loophost_testkit::{Outcome, Subject, cases};
//!
//! let harness = HostHarness::new();
//! let make = || Ok(PolicyHandle::new(DefaultEventLoopPolicy::new()));
//! let subject = Subject::Policy(&make);
//! let order = cases().find(|case| case.name() == "loop/call-soon-order").expect("it is one of them");
//! assert_eq!(order.run(&harness, &subject), Outcome::Passed);
//! ```

mod child;
mod system;

use std::{
    any::Any,
    os::fd::{BorrowedFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use loophost_testkit::{Child, Disturbance, Harness, Processes, Program, SystemState};
use nix::unistd::dup2;

use self::child::HostChild;
use crate::{
    Callback, Error, ErrorCode, LoopHandle, Options, PolicyHandle, WatcherHandle, builtin,
    policy::{self, DefaultEventLoopPolicy},
    process::{self, Command, SpawnError, SpawnErrorKind, Stdio, valid_pid},
    services,
    sys::{
        foreign_handler::ForeignDisposition,
        kill::kill,
        signal_set::BlockedSignal,
        socket, thread,
        wait::{self, Waited},
    },
};

/// The host as the suite sees it.
#[derive(Clone, Copy, Debug)]
pub struct HostHarness {
    patience: Duration,
}

impl HostHarness {
    /// With the suite's own patience.
    pub fn new() -> Self {
        Self::with_patience(Duration::from_secs(30))
    }

    /// How long a case waits in vain before it fails.
    pub fn with_patience(patience: Duration) -> Self {
        services::install();
        Self { patience }
    }

    /// What a plugin's policy gets as its base.
    pub fn default_policy(&self) -> PolicyHandle {
        PolicyHandle::new(DefaultEventLoopPolicy::new())
    }

    /// What a plugin's watcher gets as its base.
    ///
    /// # Errors
    /// As [`builtin::watchers::new`].
    pub fn default_watcher(&self) -> Result<WatcherHandle, Error> {
        builtin::watchers::new("auto", &Options::new())
    }
}

impl Default for HostHarness {
    fn default() -> Self {
        Self::new()
    }
}

impl Harness for HostHarness {
    fn patience(&self) -> Duration {
        self.patience
    }

    fn new_event_loop(&self) -> Result<LoopHandle, Error> {
        builtin::loops::new("selector", &Options::new())
    }

    fn loop_getter(&self) -> fn() -> Result<LoopHandle, Error> {
        policy::get_event_loop
    }

    fn processes(&self) -> Arc<dyn Processes> {
        Arc::new(HostProcesses)
    }

    fn wait_for_exit(&self, pid: i64) -> Result<(), Error> {
        let pid = valid_pid(pid)?;
        wait::until_exited(pid, None)
            .map(drop)
            .map_err(|error| Error::os(&error, format_args!("waiting for process {pid}")))
    }

    fn steal_status(&self, pid: i64) -> Result<(), Error> {
        self.wait_for_exit(pid)?;
        match wait::take(valid_pid(pid)?, None) {
            Ok(Waited::Exited(_)) => Ok(()),
            Ok(_) => Err(Error::new(ErrorCode::PROCESS_GONE, format!("the status of {pid} is gone already"))),
            Err(error) => Err(Error::os(&error, format_args!("taking the status of process {pid}"))),
        }
    }

    fn exists(&self, pid: i64) -> bool {
        valid_pid(pid).is_ok_and(|pid| match kill(pid, 0) {
            Ok(()) => true,
            Err(error) => error.raw_os_error() == Some(libc::EPERM),
        })
    }

    fn raise(&self, signum: i32) -> Result<(), Error> {
        let me = nix::unistd::getpid().as_raw();
        kill(me, signum)
            .map_err(|error| Error::os(&error, format_args!("sending signal {signum} to oneself")))
    }

    fn disturb_signal(&self, signum: i32, disturbance: Disturbance) -> Result<Box<dyn Any>, Error> {
        let done: std::io::Result<Box<dyn Any>> = match disturbance {
            Disturbance::Ignored => ForeignDisposition::ignore(signum).map(|guard| Box::new(guard) as _),
            Disturbance::HandlerReplaced => {
                ForeignDisposition::do_nothing(signum).map(|guard| Box::new(guard) as _)
            }
            Disturbance::Blocked => BlockedSignal::new(signum).map(|guard| Box::new(guard) as _),
        };
        done.map_err(|error| Error::os(&error, format_args!("disturbing signal {signum}")))
    }

    fn is_main_thread(&self) -> bool {
        thread::is_main()
    }

    fn system_state(&self) -> Result<SystemState, Error> {
        system::state().map_err(|error| Error::os(&error, "looking at this process in /proc"))
    }

    fn reuse_number(&self, new: BorrowedFd<'_>, old: &mut OwnedFd) -> Result<(), Error> {
        dup2(new, old).map_err(|errno| Error::os(&errno.into(), "dup2"))
    }

    fn stream_socket(&self) -> Result<OwnedFd, Error> {
        socket::stream().map_err(|error| Error::os(&error, "making a socket"))
    }
}

struct HostProcesses;

impl Processes for HostProcesses {
    fn spawn(&self, program: &Program) -> Result<Box<dyn Child>, Error> {
        Ok(Box::new(HostChild(process::spawn(command(program)).map_err(not_spawned)?)))
    }

    fn subprocess_exec(
        &self,
        event_loop: &LoopHandle,
        program: &Program,
        on_exit: Callback,
    ) -> Result<Box<dyn Child>, Error> {
        let child = process::subprocess_exec(event_loop, command(program), on_exit).map_err(not_spawned)?;
        Ok(Box::new(HostChild(child)))
    }
}

fn command(program: &Program) -> Command {
    let stream = |is_pipe| if is_pipe { Stdio::Pipe } else { Stdio::Null };
    let command = Command::new(&program.shell)
        .arg("-c")
        .arg(&program.script)
        .stdin(stream(program.stdin))
        .stdout(stream(program.stdout));
    if program.new_session { command.new_session() } else { command }
}

/// With the code that a case can ask for.
fn not_spawned(error: SpawnError) -> Error {
    match error {
        SpawnError::Watcher(error) => error,
        error if error.kind() == SpawnErrorKind::NotFound => {
            Error::new(ErrorCode::NOT_FOUND, error.to_string())
        }
        error => Error::new(ErrorCode::OTHER, error.to_string()),
    }
}
