//! What the tests with real children share.

#![allow(dead_code, unused_imports, unused_macros, reason = "each test binary uses a part of it")]

use std::{
    cell::Cell,
    fs::{self, File},
    io,
    os::fd::AsRawFd,
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use loophost::{
    Callback, Fd, LoopHandle, Options, WatcherHandle, builtin,
    process::{self, Child, Command, Way},
};
use nix::{
    errno::Errno,
    sys::wait::{Id, WaitPidFlag, WaitStatus, waitid},
    unistd::Pid,
};

/// How long a case may wait for something that should happen at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at something that tells nobody when it changes.
const GLANCE: Duration = Duration::from_millis(1);

/// Makes a test of each of these functions in each way in which a process can be started.
macro_rules! on_each_way {
    ($($case:ident),* $(,)?) => { on_each_way! { clone3 Clone3, clone Clone, posix Posix: [$($case),*] } };
    ($($module:ident $way:ident),*: $cases:tt) => { $(on_each_way! { @ $module $way $cases })* };
    (@ $module:ident $way:ident [$($case:ident),*]) => {
        mod $module {
            $(
                #[test]
                fn $case() {
                    crate::util::use_way(loophost::process::Way::$way);
                    super::$case();
                }
            )*
        }
    };
}
pub(crate) use on_each_way;

thread_local! {
    static WAY: Cell<Way> = const { Cell::new(Way::Clone3) };
}

/// From now on this thread's processes are started in this way.
pub(crate) fn use_way(way: Way) {
    process::force_way(Some(way));
    WAY.set(way);
}

/// What [`use_way`] was told last.
pub(crate) fn way() -> Way {
    WAY.get()
}

/// A shell with a script.
pub(crate) fn sh(script: &str) -> Command {
    Command::new("/bin/sh").arg("-c").arg(script)
}

/// A fresh loop of the default kind.
pub(crate) fn new_loop() -> LoopHandle {
    builtin::loops::new("selector", &Options::new()).unwrap()
}

/// Waits for a condition.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::sleep(GLANCE);
    }
}

/// Runs the loop until a condition holds; also for conditions that other threads make true.
pub(crate) fn run_until(event_loop: &LoopHandle, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        event_loop.run_once(Some(GLANCE)).unwrap();
    }
}

/// Waits until a child is dead, and leaves it a zombie.
pub(crate) fn wait_for_zombie(pid: i64) {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    match waitid(Id::Pid(Pid::from_raw(pid as i32)), flags) {
        // EINVAL: dead too, by a real-time signal, for which nix has no name.
        Ok(_) | Err(Errno::EINVAL) => {}
        Err(errno) => panic!("waiting for {pid}: {errno}"),
    }
}

/// Whether a child is dead, reaped or not.
pub(crate) fn has_ended(pid: i64) -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
    !matches!(waitid(Id::Pid(Pid::from_raw(pid as i32)), flags), Ok(WaitStatus::StillAlive))
}

/// Whether there is such a process, if only as a zombie.
pub(crate) fn exists(pid: i64) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// A child's pidfd in the form in which it is lent to a watcher.
pub(crate) fn lent(child: &Child) -> Fd {
    child.pidfd().map_or(-1, |fd| fd.as_raw_fd().into())
}

/// What a process holds: descriptors, threads and children, alive or dead.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Holdings {
    descriptors: usize,
    threads: usize,
    children: usize,
}

impl Holdings {
    pub(crate) fn now() -> Self {
        let count = |folder: &str| fs::read_dir(folder).unwrap().count();
        let children = fs::read_dir("/proc/self/task").unwrap().map(|thread| {
            let list = thread.unwrap().path().join("children");
            fs::read_to_string(list).unwrap_or_default().split_whitespace().count()
        });
        Self {
            descriptors: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
            children: children.sum(),
        }
    }
}

impl Holdings {
    /// Whether there is no more of anything.
    pub(crate) fn are_within(&self, other: &Self) -> bool {
        self.descriptors <= other.descriptors
            && self.threads <= other.threads
            && self.children <= other.children
    }
}

/// As long as it lives, no more than so many descriptors can be made.
pub(crate) struct Exhausted {
    before: libc::rlimit,
    _fillers: Vec<File>,
}

impl Exhausted {
    pub(crate) fn new(free: usize) -> Self {
        let before = limits();
        // Not below 64: a child inherits the limit, and needs some to load its libraries.
        limit(&libc::rlimit { rlim_cur: 64, ..before });
        let mut fillers: Vec<_> =
            std::iter::repeat_with(|| File::open("/dev/null")).map_while(Result::ok).collect();
        assert_eq!(io::Error::last_os_error().raw_os_error(), Some(libc::EMFILE));
        fillers.truncate(fillers.len() - free);
        Self { before, _fillers: fillers }
    }
}

impl Drop for Exhausted {
    fn drop(&mut self) {
        limit(&self.before);
    }
}

/// Allows this process as many descriptors as it may have; how many that is.
pub(crate) fn allow_many_descriptors() -> usize {
    let limits = limits();
    limit(&libc::rlimit { rlim_cur: limits.rlim_max, ..limits });
    usize::try_from(limits.rlim_max).unwrap_or(usize::MAX)
}

fn limits() -> libc::rlimit {
    let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the struct is valid for writing.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limits) }, 0);
    limits
}

fn limit(limit: &libc::rlimit) {
    // SAFETY: the struct is valid for reading.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, limit) }, 0);
}

/// How much memory this process has, in KiB.
pub(crate) fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The exits that handlers have seen: pid, returncode, flags.
#[derive(Clone, Default)]
pub(crate) struct Exits(Arc<Mutex<Vec<(i64, i64, u32)>>>);

impl Exits {
    /// A handler that notes what it is told.
    pub(crate) fn handler(&self) -> Callback {
        let exits = self.clone();
        Callback::new(move |event| {
            exits.0.lock().unwrap().push((event.aux as i64, event.result, event.flags));
            Ok(())
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Pids and returncodes.
    pub(crate) fn codes(&self) -> Vec<(i64, i64)> {
        self.0.lock().unwrap().iter().map(|(pid, code, _)| (*pid, *code)).collect()
    }

    /// The only exit.
    pub(crate) fn only(&self) -> (i64, i64, u32) {
        let exits = self.0.lock().unwrap();
        assert_eq!(exits.len(), 1, "{exits:?}");
        exits[0]
    }
}

/// Watches the child from inside the running loop.
pub(crate) fn watch(watcher: &WatcherHandle, event_loop: &LoopHandle, child: &Child) -> Exits {
    let exits = Exits::default();
    let (adds, pid, pidfd, handler) = (watcher.clone(), child.pid(), lent(child), exits.handler());
    let add = Callback::new(move |_| {
        let token = adds.begin_spawn()?;
        adds.add_child_handler(pid, pidfd, handler)?;
        adds.end_spawn(token, pid)
    });
    event_loop.call_soon(add).unwrap();
    event_loop.run_once(Some(Duration::ZERO)).unwrap();
    exits
}
