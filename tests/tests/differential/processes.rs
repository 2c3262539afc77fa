//! Processes: `subprocess_exec`, from the start to the handler.

use std::{
    fs,
    io::{ErrorKind, Read},
    os::unix::fs::PermissionsExt,
    sync::{Arc, Mutex},
    thread,
};

use loophost::{
    Callback, ChildWatcher, Error, ErrorCode, Fd, LoopHandle, WatcherHandle, policy,
    process::{Child, Command, SpawnError, Stdio, subprocess_exec},
};
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::{
        signal::{SigHandler, Signal, signal},
        wait::WaitPidFlag,
    },
};

use crate::{
    scenarios::{Scenarios, WatcherScenarios, named},
    stage::{callback, inside, new_loop, new_watcher, run_until, wait_for},
    trace::{note, note_all, note_call, note_value, spawn_error_words},
};

pub(crate) const PLAIN: Scenarios =
    named![calls_of_a_spawn, calls_of_a_failed_spawn, calls_of_an_inactive_watcher, watcher_that_refuses,];

pub(crate) const ON_DEFAULT_WATCHER: Scenarios = named![
    spawn_exit_statuses,
    spawn_many,
    returncode_before_and_after,
    signals_to_a_process,
    signal_zero,
    signals_after_the_end,
    signal_to_a_zombie,
    program_not_found,
    program_not_executable,
    wrong_command,
    exit_before_the_end_of_output,
    exit_is_told_in_the_loop,
    ignored_sigchld,
];

pub(crate) const ON_EACH_WATCHER: WatcherScenarios =
    named![spawn_on_a_watcher, spawn_without_attaching, spawn_in_another_thread, spawn_beside_the_main_loop];

/// A process and what its handler was told.
struct Process {
    event_loop: LoopHandle,
    child: Child,
    told: Arc<Mutex<Option<i64>>>,
}

impl Process {
    /// Starts it from inside the running loop.
    fn exec(event_loop: &LoopHandle, command: Command) -> Result<Self, SpawnError> {
        let told = Arc::new(Mutex::new(None));
        let (this, place) = (event_loop.clone(), told.clone());
        let on_exit = Callback::new(move |event| {
            *place.lock().unwrap() = Some(event.result);
            Ok(())
        });
        let child = inside(event_loop, move || subprocess_exec(&this, command, on_exit))?;
        Ok(Self { event_loop: event_loop.clone(), child, told })
    }

    /// A shell with a script; `read` in the script waits for `release`.
    fn start(event_loop: &LoopHandle, script: &str) -> Self {
        Self::exec(event_loop, sh(script)).unwrap()
    }

    fn release(&mut self) {
        self.child.stdin = None;
    }

    /// Waits until the handler was called.
    fn returncode(&self) -> i64 {
        run_until(&self.event_loop, || self.told.lock().unwrap().is_some());
        self.told.lock().unwrap().unwrap()
    }

    fn note_returncode(&self) {
        note_value("returncode", self.returncode());
    }
}

fn sh(script: &str) -> Command {
    Command::new("/bin/sh").arg("-c").arg(script).stdin(Stdio::Pipe)
}

/// The loop of the main thread, which the watcher is attached to.
fn main_loop() -> LoopHandle {
    let event_loop = new_loop();
    policy::set_event_loop(Some(event_loop.clone())).unwrap();
    event_loop
}

/// Starts a program that perhaps cannot be started, and notes the error or the returncode.
fn attempt(event_loop: &LoopHandle, command: Command) {
    match Process::exec(event_loop, command) {
        Ok(process) => process.note_returncode(),
        Err(error) => note_all("subprocess_exec", spawn_error_words(&error)),
    }
}

/// The same with a program that ends after it was registered.
fn attempt_exit_3(event_loop: &LoopHandle) {
    match Process::exec(event_loop, sh("read line; exit 3")) {
        Ok(mut process) => {
            process.release();
            process.note_returncode();
        }
        Err(error) => note_all("subprocess_exec", spawn_error_words(&error)),
    }
}

fn spawn_exit_statuses() {
    let event_loop = main_loop();
    for script in ["exit 0", "exit 3", "exit 255", "kill -TERM $$", "kill -KILL $$"] {
        Process::start(&event_loop, script).note_returncode();
    }
}

fn spawn_many() {
    let event_loop = main_loop();
    let mut processes: Vec<_> =
        (0..20).map(|n| Process::start(&event_loop, &format!("read line; exit {n}"))).collect();
    processes.iter_mut().for_each(Process::release);
    note_value("returncodes", processes.iter().map(Process::returncode).collect::<Vec<_>>());
}

fn returncode_before_and_after() {
    let event_loop = main_loop();
    let mut process = Process::start(&event_loop, "read line; exit 7");
    note_value("returncode", process.child.returncode());
    process.release();
    process.returncode();
    note_value("returncode", process.child.returncode());
    note_value("returncode", process.child.returncode());
}

fn signals_to_a_process() {
    let event_loop = main_loop();
    type Send = fn(&Child) -> Result<(), Error>;
    let hang_up: Send = |child| child.send_signal(libc::SIGHUP);
    for send in [hang_up, Child::terminate, Child::kill] {
        let process = Process::start(&event_loop, "read line");
        send(&process.child).unwrap();
        process.note_returncode();
    }
}

fn signal_zero() {
    let event_loop = main_loop();
    let mut process = Process::start(&event_loop, "read line; exit 2");
    note_call("send_signal", process.child.send_signal(0));
    note_call("send_signal", process.child.send_signal(1000));
    process.release();
    process.note_returncode();
}

fn signals_after_the_end() {
    let event_loop = main_loop();
    let process = Process::start(&event_loop, "exit 0");
    process.returncode();
    note_call("send_signal", process.child.send_signal(libc::SIGTERM));
    note_call("terminate", process.child.terminate());
    note_call("kill", process.child.kill());
}

fn signal_to_a_zombie() {
    let event_loop = main_loop();
    let process = Process::start(&event_loop, "read line");
    process.child.kill().unwrap();
    wait_for(process.child.pid(), WaitPidFlag::WEXITED);
    note_call("send_signal", process.child.send_signal(libc::SIGTERM));
    process.note_returncode();
}

fn program_not_found() {
    let event_loop = main_loop();
    for program in ["/nonexistent/program", "loophost-no-such-program", "/bin/true"] {
        attempt(&event_loop, Command::new(program));
    }
}

fn program_not_executable() {
    let event_loop = main_loop();
    let folder = tempfile::tempdir().unwrap();
    let file = |name, mode, text| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        Command::new(path)
    };
    attempt(&event_loop, file("no-permission", 0o644, "#!/bin/sh\n"));
    attempt(&event_loop, Command::new(folder.path()));
    attempt(&event_loop, file("no-program", 0o755, "\n"));
    attempt(&event_loop, file("no-interpreter", 0o755, "#!/nonexistent/interpreter\n"));
}

fn wrong_command() {
    let event_loop = main_loop();
    attempt(&event_loop, Command::new("/bin/true").arg("a\0b"));
    attempt(&event_loop, Command::new(""));
    attempt(&event_loop, Command::new("/bin/true").working_folder("/nonexistent"));
}

fn exit_before_the_end_of_output() {
    let event_loop = main_loop();
    // It inherits the standard input, too, and lives until that is closed.
    let command = sh("exec 3<&0; (read line <&3) & exit 4").stdout(Stdio::Pipe);
    let mut process = Process::exec(&event_loop, command).unwrap();
    process.note_returncode();
    let stdout = process.child.stdout.take().unwrap();
    fcntl(&stdout, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let mut stdout = fs::File::from(stdout);
    let mut at_its_end = || match stdout.read(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            false
        }
    };
    note_value("end of output", at_its_end());
    process.release();
    run_until(&event_loop, &mut at_its_end);
    note_value("end of output", true);
}

fn exit_is_told_in_the_loop() {
    let event_loop = main_loop();
    let (here, this) = (thread::current().id(), event_loop.clone());
    let told = Arc::new(Mutex::new(false));
    let flag = told.clone();
    let on_exit = callback(move || {
        note_value("thread", thread::current().id() == here);
        note_value("running", policy::get_running_loop().unwrap().same(&this));
        *flag.lock().unwrap() = true;
    });
    let this = event_loop.clone();
    inside(&event_loop, move || drop(subprocess_exec(&this, Command::new("/bin/true"), on_exit).unwrap()));
    run_until(&event_loop, || *told.lock().unwrap());
}

fn ignored_sigchld() {
    // SAFETY: ignoring a signal calls nothing.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) }.unwrap();
    let event_loop = main_loop();
    let mut process = Process::start(&event_loop, "read line; exit 3");
    process.release();
    process.note_returncode();
}

/// Notes what is done to it, and lets another watcher do it.
struct Delegating {
    inner: WatcherHandle,
    active: bool,
    takes: bool,
}

impl ChildWatcher for Delegating {
    fn base(&self) -> Option<WatcherHandle> {
        Some(self.inner.clone())
    }

    fn is_active(&self) -> bool {
        note("is_active");
        self.active
    }

    fn begin_spawn(&self) -> Result<u64, Error> {
        note("begin_spawn");
        self.inner.begin_spawn()
    }

    fn end_spawn(&self, token: u64, pid: i64) -> Result<(), Error> {
        note("end_spawn");
        self.inner.end_spawn(token, pid)
    }

    fn add_child_handler(&self, pid: i64, pidfd: Fd, callback: Callback) -> Result<(), Error> {
        note("add_child_handler");
        if !self.takes {
            return Err(Error::new(ErrorCode::OS, "it takes none"));
        }
        self.inner.add_child_handler(pid, pidfd, callback)
    }
}

/// The main thread's loop, under such a watcher.
fn delegate(active: bool, takes: bool) -> LoopHandle {
    let event_loop = main_loop();
    let inner = new_watcher("threaded");
    policy::set_child_watcher(Some(WatcherHandle::new(Delegating { inner, active, takes }))).unwrap();
    event_loop
}

fn calls_of_a_spawn() {
    attempt(&delegate(true, true), Command::new("/bin/true"));
}

fn calls_of_a_failed_spawn() {
    attempt(&delegate(true, true), Command::new("/nonexistent/program"));
}

fn calls_of_an_inactive_watcher() {
    attempt(&delegate(false, true), Command::new("/bin/true"));
}

fn watcher_that_refuses() {
    attempt(&delegate(true, false), Command::new("/bin/true"));
}

fn use_watcher(name: &str) {
    policy::set_child_watcher(Some(new_watcher(name))).unwrap();
}

fn spawn_on_a_watcher(watcher: &str) {
    use_watcher(watcher);
    attempt_exit_3(&main_loop());
}

fn spawn_without_attaching(watcher: &str) {
    use_watcher(watcher);
    attempt_exit_3(&new_loop());
}

/// Starts a program on the loop of another thread.
fn thread_that_spawns() -> thread::JoinHandle<()> {
    thread::spawn(|| {
        let event_loop = new_loop();
        policy::set_event_loop(Some(event_loop.clone())).unwrap();
        attempt_exit_3(&event_loop);
        event_loop.close().unwrap();
    })
}

fn spawn_in_another_thread(watcher: &str) {
    use_watcher(watcher);
    main_loop();
    thread_that_spawns().join().unwrap();
}

fn spawn_beside_the_main_loop(watcher: &str) {
    use_watcher(watcher);
    let (event_loop, worker) = (main_loop(), Arc::new(Mutex::new(None)));
    let place = worker.clone();
    // The thread begins inside a run that ends with it: a watcher may want a loop that is running.
    let this = event_loop.clone();
    let begin = callback(move || {
        let ends = thread_that_spawns();
        *place.lock().unwrap() = Some(thread::spawn(move || {
            ends.join().unwrap();
            this.stop().unwrap();
        }));
    });
    event_loop.call_soon(begin).unwrap();
    event_loop.run_forever().unwrap();
    worker.lock().unwrap().take().unwrap().join().unwrap();
}
