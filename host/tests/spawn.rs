//! What happens between clone and exec, in each way in which a process can be started.

#![allow(clippy::unwrap_used, reason = "tests")]

mod util;

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    process::ExitStatus,
    sync::atomic::{
        AtomicBool, AtomicI32, AtomicU32,
        Ordering::{Relaxed, SeqCst},
    },
    thread,
};

use loophost::process::{Command, SignalSet, SpawnError, Stdio, Way, reap, spawn};
use nix::{
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction},
    unistd::{Pid, geteuid, getpid, gettid},
};
use util::{on_each_way, sh, use_way, wait_for_zombie, wait_until, way};

on_each_way! {
    a_session_of_its_own,
    what_contradicts_itself_is_refused,
    a_failing_step_is_named,
    another_user,
    a_user_without_rights_cannot_become_another,
    the_child_dies_with_its_parent,
    signals_reach_the_parent_and_no_handler_runs_in_the_child,
    many_threads_spawn_at_once,
}

fn output(command: Command) -> Result<String, SpawnError> {
    let mut child = spawn(command.stdout(Stdio::Pipe))?;
    let mut text = String::new();
    File::from(child.stdout.take().unwrap()).read_to_string(&mut text).unwrap();
    Ok(text)
}

fn a_session_of_its_own() {
    let mut child = spawn(sh("read line").stdin(Stdio::Pipe).new_session().process_group(Some(0))).unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.pid())).unwrap();
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let pid = child.pid().to_string();
    assert_eq!(fields[2..5], [pid.as_str(), &pid, "0"], "group, session, terminal");
    drop(child.stdin.take());
}

fn what_contradicts_itself_is_refused() {
    let terminal = || File::open("/dev/null").unwrap().into();
    let wrong = [
        sh("").new_session().process_group(Some(1)),
        sh("").new_session().foreground_terminal(terminal()),
        sh("").death_signal(0),
        sh("").death_signal(65),
        sh("").uid(u32::MAX),
        sh("").gid(u32::MAX),
    ];
    for command in wrong {
        let error = spawn(command).unwrap_err();
        assert!(matches!(error, SpawnError::InvalidArgument { .. }), "{error:?}");
    }
}

fn a_failing_step_is_named() {
    let cases = [
        // The group of another session.
        (sh("").process_group(Some(1)), "group", libc::EPERM),
        (sh("").foreground_terminal(File::open("/dev/null").unwrap().into()), "terminal", libc::ENOTTY),
    ];
    for (command, word, errno) in cases {
        let SpawnError::Os { what, source } = spawn(command).unwrap_err() else { panic!() };
        assert_eq!(source.raw_os_error(), Some(errno), "{what}");
        assert!(what.contains(word) || what == "starting a process", "{what}");
    }
}

fn another_user() {
    if !geteuid().is_root() {
        return;
    }
    let ids = "echo $(id -u) $(id -g) $(id -G); grep ^Uid: /proc/self/status | tr -s '\\t' ' '";
    let id = |command: Command| match output(command) {
        Ok(text) => Some(text),
        Err(SpawnError::NotSupported { .. }) => None,
        Err(other) => panic!("{other:?}"),
    };
    let nobody = 65534;
    let all = "Uid: 65534 65534 65534 65534\n";
    if let Some(text) = id(sh(ids).uid(nobody).gid(nobody)) {
        assert_eq!(text, format!("65534 65534 65534\n{all}"), "and none of root's groups");
    }
    if let Some(text) = id(sh(ids).uid(nobody).gid(nobody).groups([7, 9])) {
        assert_eq!(text, format!("65534 65534 65534 7 9\n{all}"));
    }
}

fn a_user_without_rights_cannot_become_another() {
    if geteuid().is_root() {
        return;
    }
    match spawn(sh("").uid(0)).unwrap_err() {
        SpawnError::Os { what: "setting the child's user", source } => {
            assert_eq!(source.raw_os_error(), Some(libc::EPERM));
        }
        SpawnError::NotSupported { .. } => {}
        other => panic!("{other:?}"),
    }
}

/// Runs one of the ignored tests below in a process of its own, whose spawns go the way of this thread.
struct Helper(std::process::Child);

impl Helper {
    fn new(test: &str) -> Self {
        let helper = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
            .env("LOOPHOST_TEST_WAY", format!("{:?}", way()))
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        Self(helper)
    }

    /// What it says in a line that begins with this word.
    fn says(&mut self, word: &str) -> String {
        let lines = BufReader::new(self.0.stdout.as_mut().unwrap()).lines();
        lines.map(Result::unwrap).find_map(|line| Some(line.split_once(word)?.1.to_owned())).unwrap()
    }

    fn end(mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }
}

fn use_way_of_test() {
    let name = std::env::var("LOOPHOST_TEST_WAY").unwrap();
    use_way(
        [Way::Clone3, Way::Clone, Way::Posix].into_iter().find(|way| format!("{way:?}") == name).unwrap(),
    );
}

fn the_child_dies_with_its_parent() {
    let mut helper = Helper::new("spawns_with_a_death_signal");
    let text = helper.says("child: ");
    let Ok(child) = text.parse::<i64>() else {
        assert_eq!(text, "not supported");
        assert!(helper.end().success());
        return;
    };
    assert!(is_alive(child));
    helper.0.kill().unwrap();
    helper.end();
    wait_until("the child is killed", || !is_alive(child));
}

#[test]
#[ignore = "run by the_child_dies_with_its_parent"]
fn spawns_with_a_death_signal() {
    use_way_of_test();
    let child = match spawn(sh("exec sleep 1000").stdout(Stdio::Null).death_signal(libc::SIGTERM)) {
        Ok(child) => child,
        Err(SpawnError::NotSupported { .. }) => return println!("\nchild: not supported"),
        Err(other) => panic!("{other:?}"),
    };
    println!("\nchild: {}", child.pid());
    loop {
        thread::park();
    }
}

/// Neither gone nor a zombie: nobody may be there to reap it.
fn is_alive(pid: i64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn signals_reach_the_parent_and_no_handler_runs_in_the_child() {
    let helper = Helper::new("spawns_under_fire");
    assert!(helper.end().success());
}

static PARENT: AtomicI32 = AtomicI32::new(0);
static HANDLED: AtomicU32 = AtomicU32::new(0);
static STRANGERS: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(_: i32) {
    let who = if getpid().as_raw() == PARENT.load(Relaxed) { &HANDLED } else { &STRANGERS };
    who.fetch_add(1, SeqCst);
}

/// In a group of its own every process, whatever it is doing, gets one signal after the other; the next comes when the
/// last was handled. Child processes have it blocked.
#[test]
#[ignore = "run by signals_reach_the_parent_and_no_handler_runs_in_the_child"]
fn spawns_under_fire() {
    use_way_of_test();
    nix::unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0)).unwrap();
    PARENT.store(getpid().as_raw(), SeqCst);
    let action = SigAction::new(SigHandler::Handler(count), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler adds to atomics.
    unsafe { sigaction(Signal::SIGUSR1, &action) }.unwrap();
    static DONE: AtomicBool = AtomicBool::new(false);
    let target = gettid();
    let fire = thread::spawn(move || {
        let mut fired = 0;
        while !DONE.load(SeqCst) {
            let before = HANDLED.load(SeqCst);
            kill(Pid::from_raw(0), Signal::SIGUSR1).unwrap();
            wait_until("the signal is handled", || HANDLED.load(SeqCst) > before);
            // To the thread that spawns, which cannot leave it to another one.
            let before = HANDLED.load(SeqCst);
            // SAFETY: the call takes integers.
            let sent =
                unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), target.as_raw(), libc::SIGUSR1) };
            assert_eq!(sent, 0);
            wait_until("the thread handles it", || HANDLED.load(SeqCst) > before);
            fired += 2;
        }
        fired
    });
    let blocked = SignalSet::EMPTY.with(libc::SIGUSR1);
    for _ in 0..300 {
        let child = spawn(Command::new("/bin/true").signal_mask(blocked)).unwrap();
        wait_for_zombie(child.pid());
        reap(child.pid()).unwrap();
        assert_eq!(child.returncode(), Some(0));
    }
    DONE.store(true, SeqCst);
    assert!(fire.join().unwrap() > 100);
    assert_eq!(STRANGERS.load(SeqCst), 0);
}

fn many_threads_spawn_at_once() {
    let way = way();
    let spawner = move || {
        use_way(way);
        for n in 0..500 {
            if n % 10 == 9 {
                let error = spawn(Command::new("/etc/passwd")).unwrap_err();
                assert!(matches!(error, SpawnError::NotExecutable { .. }), "{error:?}");
                continue;
            }
            let child = spawn(Command::new("/bin/true").stdin(Stdio::Null)).unwrap();
            wait_for_zombie(child.pid());
            reap(child.pid()).unwrap();
            assert_eq!(child.returncode(), Some(0));
        }
    };
    let threads: Vec<_> = (0..8).map(|_| thread::spawn(spawner)).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
