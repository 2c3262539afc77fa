//! The child watchers, each by itself: a loop, a watcher that is attached to it, and children of the process.

use std::{
    cell::{Cell, RefCell},
    os::fd::AsRawFd,
    process::{Child as Unrelated, Command as UnrelatedCommand, Stdio as UnrelatedStdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use loophost::{
    Callback, ChildWatcher, Error, Fd, LoopHandle, WatcherHandle,
    process::{self, Command, Stdio},
};
use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Pid,
};
use serde_json::json;

use crate::{
    scenarios::{Scenarios, WatcherScenarios, named},
    stage::{
        in_a_thread, inside, new_loop, new_watcher, not_implemented, nothing_once, run_for, run_until,
        wait_for,
    },
    trace::{listen, note, note_all, note_call, note_value, os_error, outcome},
};

pub(crate) const PLAIN: Scenarios = named![abstract_child_watcher];

pub(crate) const ON_EACH_WATCHER: WatcherScenarios = named![
    exit_statuses,
    several_children,
    stop_and_continue,
    unknown_pid,
    negative_pid,
    same_pid_twice,
    remove_child_handler,
    add_again_after_removal,
    dead_before_the_handler,
    noticed_before_the_handler,
    outside_the_block,
    unrelated_child,
    unrelated_child_in_the_block,
    reaped_by_somebody_else,
    failing_handler,
    handler_uses_the_watcher,
    close_twice,
    close_with_pending,
    detach_with_pending,
    attach_another_loop,
    is_active,
    attach_in_another_thread,
    attach_a_closed_loop,
    watcher_constructor,
];

/// How long to wait for a handler that is perhaps never called nor dropped: nobody tells of what does not come.
const A_WHILE: Duration = Duration::from_secs(2);

/// A shell that runs a script; `read` in the script waits for `release`.
struct Child(RefCell<process::Child>);

impl Child {
    fn new(script: &str) -> Self {
        let command = Command::new("/bin/sh").arg("-c").arg(script).stdin(Stdio::Pipe);
        Self(RefCell::new(process::spawn(command).unwrap()))
    }

    fn pid(&self) -> i64 {
        self.0.borrow().pid()
    }

    /// Its pidfd, as it is lent to a watcher.
    fn lent(&self) -> Fd {
        self.0.borrow().pidfd().map_or(-1, |fd| fd.as_raw_fd().into())
    }

    fn release(&self) {
        self.0.borrow_mut().stdin = None;
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid() as i32), signal).unwrap();
    }

    fn wait_until_dead(&self) {
        wait_for(self.pid(), WaitPidFlag::WEXITED);
    }
}

/// A loop, a watcher and what its handlers were told.
struct Stage {
    event_loop: LoopHandle,
    watcher: WatcherHandle,
    codes: Arc<Mutex<Vec<i64>>>,
    /// Every handler holds one: whoever is the only one left knows that all were called or dropped.
    handlers: Arc<()>,
}

impl Stage {
    fn new(watcher: &str) -> Self {
        Self {
            event_loop: new_loop(),
            watcher: new_watcher(watcher),
            codes: Arc::default(),
            handlers: Arc::default(),
        }
    }

    fn attached(watcher: &str) -> Self {
        let stage = Self::new(watcher);
        stage.attach();
        stage
    }

    fn attach(&self) {
        self.watcher.attach_loop(Some(self.event_loop.clone())).unwrap();
    }

    /// Calls `f` with the watcher from inside the running loop.
    fn inside<R: Send + 'static>(&self, f: impl FnOnce(&WatcherHandle) -> R + Send + 'static) -> R {
        let watcher = self.watcher.clone();
        inside(&self.event_loop, move || f(&watcher))
    }

    /// A handler that keeps what it is told, after `f`.
    fn handler(&self, f: impl FnOnce(i64, i64) -> Result<(), Error> + Send + 'static) -> Callback {
        let (codes, held) = (self.codes.clone(), self.handlers.clone());
        Callback::new(move |event| {
            let result = f(event.aux as i64, event.result);
            codes.lock().unwrap().push(event.result);
            drop(held);
            result
        })
    }

    fn plain(&self) -> Callback {
        self.handler(|_, _| Ok(()))
    }

    /// A handler that also says its name.
    fn named(&self, who: &Arc<Mutex<Vec<&'static str>>>, name: &'static str) -> Callback {
        let who = who.clone();
        self.handler(move |_, _| {
            who.lock().unwrap().push(name);
            Ok(())
        })
    }

    /// Adds a handler, in the block that stands around a spawn.
    fn try_add(&self, pid: i64, lent: Fd, handler: Callback) -> Result<(), Error> {
        self.inside(move |watcher| {
            let token = watcher.begin_spawn()?;
            let result = watcher.add_child_handler(pid, lent, handler);
            watcher.end_spawn(token, pid)?;
            result
        })
    }

    fn add(&self, child: &Child, handler: Callback) {
        self.try_add(child.pid(), child.lent(), handler).unwrap();
    }

    /// Waits for a handler and notes what it was told.
    fn next_code(&self) {
        run_until(&self.event_loop, || !self.codes.lock().unwrap().is_empty());
        note_value("returncode", self.codes.lock().unwrap().remove(0));
    }

    /// Lets the deaths of these children have all their consequences.
    fn settle(&self, children: &[&Child]) {
        children.iter().for_each(|child| child.wait_until_dead());
        run_for(&self.event_loop, A_WHILE, || Arc::strong_count(&self.handlers) == 1);
    }

    /// Notes what came, in an order that does not depend on who was first.
    fn rest(&self) {
        let mut codes = self.codes.lock().unwrap();
        codes.sort_unstable();
        note_value("returncodes", &**codes);
    }
}

fn note_sorted(event: &str, who: &Mutex<Vec<&'static str>>) {
    let mut who = who.lock().unwrap();
    who.sort_unstable();
    note_value(event, &**who);
}

fn exit_statuses(watcher: &str) {
    let stage = Stage::attached(watcher);
    for script in ["exit 0", "exit 3", "exit 255", "kill -TERM $$", "kill -KILL $$"] {
        let child = Child::new(&format!("read line; {script}"));
        stage.add(&child, stage.plain());
        child.release();
        stage.next_code();
    }
}

fn several_children(watcher: &str) {
    let stage = Stage::attached(watcher);
    let children: Vec<_> = (0..5).map(|n| Child::new(&format!("read line; exit {n}"))).collect();
    let told = Arc::new(Mutex::new(Vec::new()));
    for child in &children {
        let (list, own) = (told.clone(), child.pid());
        let handler = stage.handler(move |pid, code| {
            // The pid is compared, for it says that a status went to the right handler.
            list.lock().unwrap().push((code, pid == own));
            Ok(())
        });
        stage.add(child, handler);
    }
    for child in &children {
        child.release();
        child.wait_until_dead();
    }
    run_until(&stage.event_loop, || told.lock().unwrap().len() == children.len());
    let mut told = told.lock().unwrap();
    told.sort_unstable();
    for (code, own) in told.iter() {
        note_all("returncode", json!({ "value": code, "own": own }));
    }
}

fn stop_and_continue(watcher: &str) {
    let stage = Stage::attached(watcher);
    let child = Child::new("read line; exit 5");
    stage.add(&child, stage.plain());
    child.signal(Signal::SIGSTOP);
    wait_for(child.pid(), WaitPidFlag::WSTOPPED);
    stage.inside(|_| ());
    child.signal(Signal::SIGCONT);
    wait_for(child.pid(), WaitPidFlag::WCONTINUED);
    stage.inside(|_| ());
    child.release();
    stage.next_code();
}

fn unknown_pid(watcher: &str) {
    let stage = Stage::attached(watcher);
    let mut gone = UnrelatedCommand::new("/bin/true").spawn().unwrap();
    gone.wait().unwrap();
    listen();
    let result = stage.try_add(gone.id().into(), -1, stage.plain());
    stage.settle(&[]);
    // Only now, for a thread would be in a race with it.
    note_all("add_child_handler", outcome(&result));
    stage.rest();
}

fn negative_pid(watcher: &str) {
    let stage = Stage::attached(watcher);
    note_call("add_child_handler", stage.try_add(-1, -1, stage.plain()));
}

fn same_pid_twice(watcher: &str) {
    let (stage, who) = (Stage::attached(watcher), Arc::default());
    let child = Child::new("read line; exit 4");
    stage.add(&child, stage.named(&who, "first"));
    stage.add(&child, stage.named(&who, "second"));
    child.release();
    stage.settle(&[&child]);
    note_sorted("called", &who);
    stage.rest();
}

fn remove_child_handler(watcher: &str) {
    let stage = Stage::attached(watcher);
    let child = Child::new("read line; exit 4");
    stage.add(&child, stage.plain());
    note_call("remove_child_handler", stage.watcher.remove_child_handler(child.pid()));
    note_call("remove_child_handler", stage.watcher.remove_child_handler(child.pid()));
    child.release();
    stage.settle(&[&child]);
    stage.rest();
}

fn add_again_after_removal(watcher: &str) {
    let (stage, who) = (Stage::attached(watcher), Arc::default());
    let child = Child::new("read line; exit 6");
    stage.add(&child, stage.named(&who, "removed"));
    stage.watcher.remove_child_handler(child.pid()).unwrap();
    stage.add(&child, stage.named(&who, "added"));
    child.release();
    stage.settle(&[&child]);
    note_sorted("called", &who);
    stage.rest();
}

thread_local! {
    /// Whether this thread is inside `add_child_handler`.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

fn dead_before_the_handler(watcher: &str) {
    let stage = Stage::attached(watcher);
    let child = Child::new("exit 7");
    child.wait_until_dead();
    let told_inside = Arc::new(Mutex::new(None));
    let place = told_inside.clone();
    let handler = stage.handler(move |_, _| {
        *place.lock().unwrap() = Some(INSIDE.get());
        Ok(())
    });
    let (pid, lent) = (child.pid(), child.lent());
    stage.inside(move |watcher| {
        let token = watcher.begin_spawn().unwrap();
        INSIDE.set(true);
        watcher.add_child_handler(pid, lent, handler).unwrap();
        INSIDE.set(false);
        watcher.end_spawn(token, pid).unwrap();
    });
    stage.settle(&[]);
    // Only now, for a handler on another thread would be in a race with it.
    let events = match *told_inside.lock().unwrap() {
        Some(true) => &["told", "added"][..],
        Some(false) => &["added", "told"],
        None => &["added"],
    };
    events.iter().for_each(|event| note(event));
    stage.rest();
}

fn noticed_before_the_handler(watcher: &str) {
    let stage = Stage::attached(watcher);
    let token = stage.inside(|watcher| watcher.begin_spawn().unwrap());
    let child = Child::new("exit 7");
    child.wait_until_dead();
    stage.inside(|_| ());
    stage.add(&child, stage.plain());
    let pid = child.pid();
    stage.inside(move |watcher| watcher.end_spawn(token, pid).unwrap());
    stage.settle(&[]);
    stage.rest();
}

fn outside_the_block(watcher: &str) {
    let stage = Stage::attached(watcher);
    let child = Child::new("read line; exit 4");
    let (pid, lent, handler) = (child.pid(), child.lent(), stage.plain());
    note_call(
        "add_child_handler",
        stage.inside(move |watcher| watcher.add_child_handler(pid, lent, handler)),
    );
    child.release();
    stage.settle(&[&child]);
    stage.rest();
}

/// A child that the host was never told of.
fn unrelated() -> Unrelated {
    let mut command = UnrelatedCommand::new("/bin/sh");
    command.args(["-c", "exit 6"]).stdin(UnrelatedStdio::null()).spawn().unwrap()
}

fn with_an_unrelated_child(stage: &Stage) {
    let (mut child, own) = (unrelated(), Child::new("read line; exit 3"));
    stage.add(&own, stage.plain());
    wait_for(child.id().into(), WaitPidFlag::WEXITED);
    stage.inside(|_| ());
    own.release();
    own.wait_until_dead();
    stage.next_code();
    stage.settle(&[]);
    match child.wait() {
        Ok(status) => note_value("waitpid", status.code()),
        Err(error) => note_all("waitpid", json!({ "error": os_error(error.raw_os_error().unwrap()) })),
    }
}

fn unrelated_child(watcher: &str) {
    let stage = Stage::attached(watcher);
    listen();
    with_an_unrelated_child(&stage);
}

fn unrelated_child_in_the_block(watcher: &str) {
    let stage = Stage::attached(watcher);
    listen();
    let token = stage.inside(|watcher| watcher.begin_spawn().unwrap());
    with_an_unrelated_child(&stage);
    note("end of the block");
    stage.inside(move |watcher| watcher.end_spawn(token, 0).unwrap());
}

fn reaped_by_somebody_else(watcher: &str) {
    let stage = Stage::attached(watcher);
    let child = Child::new("read line; exit 3");
    stage.add(&child, stage.plain());
    child.release();
    // ECHILD: a watcher with a thread of its own was faster.
    let _ = waitpid(Pid::from_raw(child.pid() as i32), None);
    listen();
    stage.settle(&[]);
    stage.rest();
}

fn failing_handler(watcher: &str) {
    let stage = Stage::attached(watcher);
    for (script, fails) in [("read line; exit 1", true), ("read line; exit 2", false)] {
        let child = Child::new(script);
        stage.add(&child, stage.handler(move |_, _| if fails { Err(not_implemented()) } else { Ok(()) }));
        child.release();
        stage.next_code();
    }
}

fn handler_uses_the_watcher(watcher: &str) {
    let stage = Stage::attached(watcher);
    let (first, second) = (Child::new("read line; exit 1"), Child::new("read line; exit 2"));
    let (this, pid, lent, next) = (stage.watcher.clone(), second.pid(), second.lent(), stage.plain());
    let adds = stage.handler(move |_, _| {
        let token = this.begin_spawn()?;
        this.add_child_handler(pid, lent, next)?;
        this.end_spawn(token, pid)
    });
    stage.add(&first, adds);
    first.release();
    stage.next_code();
    second.release();
    stage.next_code();
}

fn close_twice(watcher: &str) {
    let stage = Stage::attached(watcher);
    note_call("close", stage.watcher.close());
    note_call("close", stage.watcher.close());
}

fn close_with_pending(watcher: &str) {
    let stage = Stage::attached(watcher);
    listen();
    let child = Child::new("read line; exit 4");
    stage.add(&child, stage.plain());
    note_call("close", stage.watcher.close());
    child.release();
    stage.settle(&[&child]);
    stage.rest();
}

fn detach_with_pending(watcher: &str) {
    let stage = Stage::attached(watcher);
    listen();
    let child = Child::new("read line; exit 4");
    stage.add(&child, stage.plain());
    note_call("attach_loop", stage.watcher.attach_loop(None));
    child.release();
    stage.settle(&[&child]);
    note_call("attach_loop", stage.watcher.attach_loop(Some(stage.event_loop.clone())));
    stage.settle(&[]);
    stage.rest();
}

fn attach_another_loop(watcher: &str) {
    let mut stage = Stage::attached(watcher);
    listen();
    let first = Child::new("read line; exit 4");
    stage.add(&first, stage.plain());
    let old = std::mem::replace(&mut stage.event_loop, new_loop());
    note_call("attach_loop", stage.watcher.attach_loop(Some(stage.event_loop.clone())));
    let second = Child::new("read line; exit 5");
    stage.add(&second, stage.plain());
    first.release();
    second.release();
    stage.settle(&[&first, &second]);
    // Whatever is left for the old one.
    let _new = std::mem::replace(&mut stage.event_loop, old);
    stage.settle(&[]);
    stage.rest();
}

fn is_active(watcher: &str) {
    fn active(when: &'static str, watcher: &WatcherHandle) {
        note_all("is_active", json!({ "when": when, "value": watcher.is_active() }));
    }

    let stage = Stage::new(watcher);
    active("new", &stage.watcher);
    stage.inside(|watcher| active("new, inside a running loop", watcher));
    stage.attach();
    active("attached", &stage.watcher);
    stage.inside(|watcher| active("attached to the running loop", watcher));
    stage.watcher.attach_loop(None).unwrap();
    stage.inside(|watcher| active("detached, inside a running loop", watcher));
    stage.attach();
    stage.watcher.close().unwrap();
    stage.inside(|watcher| active("closed, inside a running loop", watcher));
}

fn attach_in_another_thread(watcher: &str) {
    let stage = Stage::new(watcher);
    let (watcher, event_loop) = (stage.watcher.clone(), stage.event_loop.clone());
    in_a_thread(move || note_call("attach_loop", watcher.attach_loop(Some(event_loop))));
}

fn attach_a_closed_loop(watcher: &str) {
    let stage = Stage::new(watcher);
    stage.event_loop.close().unwrap();
    note_call("attach_loop", stage.watcher.attach_loop(Some(stage.event_loop.clone())));
}

fn watcher_constructor(watcher: &str) {
    listen();
    note_value("watcher", new_watcher(watcher).name());
}

fn abstract_child_watcher() {
    struct Nothing;
    impl ChildWatcher for Nothing {}

    let watcher = WatcherHandle::new(Nothing);
    note_call("add_child_handler", watcher.add_child_handler(1, -1, nothing_once()));
    note_call("remove_child_handler", watcher.remove_child_handler(1));
    note_call("attach_loop", watcher.attach_loop(None));
    note_call("close", watcher.close());
    note_call("begin_spawn", watcher.begin_spawn());
    note_call("end_spawn", watcher.end_spawn(0, 0));
}
