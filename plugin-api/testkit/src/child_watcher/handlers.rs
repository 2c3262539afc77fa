//! Handlers: replaced, removed, failing, and using the watcher.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
    thread,
};

use loophost_plugin_api::{Callback, Error, ErrorCode, RepeatCallback};

use super::WatcherBench;
use crate::{
    Case, Program, Verdict,
    exits::Exits,
    record::{OnDrop, Record},
    verdict::{Passed, ensure, equal, failed},
};

pub(super) const CASES: &[Case] = &[
    Case::child_watcher(
        "watcher/never-from-inside-add",
        "a handler is not called from inside add_child_handler, however dead the child is",
        never_from_inside_add,
    ),
    Case::child_watcher(
        "watcher/replaces-handler",
        "a second handler for a pid replaces the first",
        replaces_handler,
    ),
    Case::child_watcher(
        "watcher/removes-handler",
        "a removed handler is dropped and not called; a second remove is false",
        removes_handler,
    ),
    Case::child_watcher(
        "watcher/remove-unknown",
        "remove of a child that was not added is false",
        remove_unknown,
    ),
    Case::child_watcher("watcher/added-again", "a child that was removed can be added again", added_again),
    Case::child_watcher(
        "watcher/removes-from-any-thread",
        "a handler is removed from another thread while the loop runs",
        removes_from_any_thread,
    ),
    Case::child_watcher(
        "watcher/handler-fails",
        "a handler that fails or panics costs no other child its report",
        handler_fails,
    ),
    Case::child_watcher(
        "watcher/handler-uses-watcher",
        "a handler may add and remove children: no lock is held",
        handler_uses_watcher,
    ),
    Case::child_watcher(
        "watcher/drop-uses-watcher",
        "the drop of a replaced or removed handler may use the watcher",
        drop_uses_watcher,
    ),
];

fn never_from_inside_add(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits) = (bench.watcher()?, Exits::default());
    let child = watcher.spawn(&Program::new("exit 5"))?;
    bench.harness.wait_for_exit(child.pid())?;
    let (pid, pidfd, is_inside, was_inside) =
        (child.pid(), child.pidfd(), Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (adding, inside, noted, calls) =
        (thread::current().id(), is_inside.clone(), was_inside.clone(), exits.clone());
    let handler = Callback::new(move |event| {
        // Another thread's call may overlap with the end of add; this thread's may not.
        noted.store(inside.load(SeqCst) && thread::current().id() == adding, SeqCst);
        calls.add(event);
        Ok(())
    });
    watcher.in_block(&*child, move |watcher| {
        is_inside.store(true, SeqCst);
        let added = watcher.add_child_handler(pid, pidfd, handler);
        is_inside.store(false, SeqCst);
        added
    })?;
    watcher.wait_for(&*child, &exits)?;
    ensure!(!was_inside.load(SeqCst), "the handler was called from inside add_child_handler");
    exits.expect(pid, 5)?;
    Ok(Passed)
}

/// asyncio: `test_sigchld_replace_handler`.
fn replaces_handler(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, first, second) = (bench.watcher()?, Exits::default(), Exits::default());
    let mut child = watcher.start(&Program::waiting("exit 4"), &first)?;
    watcher.add(&*child, &second)?;
    equal("drops of the replaced handler", first.drops.len(), 1)?;
    drop(child.take_stdin());
    watcher.wait_for(&*child, &second)?;
    watcher.settle()?;
    second.expect(child.pid(), 4)?;
    ensure!(first.is_empty(), "the replaced handler was called: {:?}", first.all());
    Ok(Passed)
}

/// asyncio: `test_sigchld_remove_handler`, `test_remove_child_handler`.
fn removes_handler(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits) = (bench.watcher()?, Exits::default());
    let mut child = watcher.start(&Program::waiting("exit 0"), &exits)?;
    let pid = child.pid();
    ensure!(watcher.remove(pid)?, "remove_child_handler: expected true");
    ensure!(!watcher.remove(pid)?, "remove_child_handler the second time: expected false");
    equal("drops of the removed handler", exits.drops.len(), 1)?;
    drop(child.take_stdin());
    drop(child);
    watcher.wait("the host to reap a child that nobody watches", || !bench.harness.exists(pid))?;
    watcher.settle()?;
    ensure!(exits.is_empty(), "the removed handler was called: {:?}", exits.all());
    Ok(Passed)
}

fn remove_unknown(bench: &WatcherBench<'_>) -> Verdict {
    let watcher = bench.watcher()?;
    let child = watcher.spawn_stranger(&Program::waiting("exit 0"))?;
    ensure!(
        !watcher.remove(child.pid())?,
        "remove_child_handler of a child that was not added: expected false"
    );
    Ok(Passed)
}

fn added_again(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, first, second) = (bench.watcher()?, Exits::default(), Exits::default());
    let mut child = watcher.start(&Program::waiting("exit 6"), &first)?;
    ensure!(watcher.remove(child.pid())?, "remove_child_handler: expected true");
    watcher.add(&*child, &second)?;
    drop(child.take_stdin());
    watcher.wait_for(&*child, &second)?;
    second.expect(child.pid(), 6)?;
    ensure!(first.is_empty(), "the removed handler was called: {:?}", first.all());
    Ok(Passed)
}

fn removes_from_any_thread(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits) = (bench.watcher()?, Exits::default());
    let mut child = watcher.start(&Program::waiting("exit 0"), &exits)?;
    let (started, is_running) = mpsc::channel();
    let event_loop = watcher.event_loop.clone();
    let runner = thread::spawn(move || {
        let tell = Callback::new(move |_| {
            let _ = started.send(());
            Ok(())
        });
        event_loop.call_soon(tell)?;
        event_loop.run_forever()
    });
    let running = is_running.recv();
    let removed = watcher.remove_child_handler(child.pid());
    let dropped = exits.drops.len();
    drop(child.take_stdin());
    watcher.event_loop.stop()?;
    runner.join().map_err(|_| failed("the thread of the loop panicked"))??;
    running.map_err(|_| failed("the loop did not run"))?;
    ensure!(removed?, "remove_child_handler: expected true");
    equal("drops of the removed handler", dropped, 1)?;
    watcher.settle()?;
    ensure!(exits.is_empty(), "the removed handler was called: {:?}", exits.all());
    Ok(Passed)
}

/// asyncio: `test_sigchld_unhandled_exception`, of the handler instead of waitpid.
fn handler_fails(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits) = (bench.watcher()?, Exits::default());
    watcher.event_loop.set_exception_handler(Some(RepeatCallback::new(|_| Ok(()))))?;
    let mut children = Vec::new();
    for n in 0..6 {
        let child = watcher.spawn(&Program::waiting(&format!("exit {n}")))?;
        let handler = match n % 3 {
            0 => Callback::new(|_| Err(Error::new(ErrorCode::OTHER, "of the case itself, to be logged"))),
            1 => Callback::new(|_| panic!("of the case itself, to be logged")),
            _ => exits.handler(),
        };
        watcher.add_handler(&*child, handler)?;
        children.push(child);
    }
    children.iter_mut().for_each(|child| drop(child.take_stdin()));
    watcher.wait("the two handlers that do not fail", || exits.len() >= 2)?;
    watcher.settle()?;
    equal("calls of handlers that do not fail", exits.len(), 2)?;
    Ok(Passed)
}

fn handler_uses_watcher(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, exits, record) = (bench.watcher()?, Exits::default(), Record::default());
    let (mut first, mut second) =
        (watcher.spawn(&Program::waiting("exit 1"))?, watcher.spawn(&Program::waiting("exit 2"))?);
    // Added first, so that whatever the watcher needs of a loop it has by then.
    watcher.add(&*second, &Exits::default())?;
    let (this, pids, pidfd) = ((*watcher).clone(), [first.pid(), second.pid()], second.pidfd());
    let (notes, then) = (record.clone(), exits.handler());
    let handler = Callback::new(move |_| {
        notes.note(format!(
            "remove of itself: {:?}",
            this.remove_child_handler(pids[0]).map_err(|e| e.code())
        ));
        let token = this.begin_spawn()?;
        this.add_child_handler(pids[1], pidfd, then)?;
        this.end_spawn(token, pids[1])
    });
    watcher.add_handler(&*first, handler)?;
    drop(first.take_stdin());
    watcher.wait("the handler of the first child", || !record.is_empty())?;
    record.expect(["remove of itself: Ok(false)"])?;
    drop(second.take_stdin());
    watcher.wait_for(&*second, &exits)?;
    exits.expect(second.pid(), 2)?;
    Ok(Passed)
}

fn drop_uses_watcher(bench: &WatcherBench<'_>) -> Verdict {
    let (watcher, record) = (bench.watcher()?, Record::default());
    let (child, other) =
        (watcher.spawn(&Program::waiting("exit 0"))?, watcher.spawn(&Program::waiting("exit 0"))?);
    for _ in 0..2 {
        let (this, notes, pid) = ((*watcher).clone(), record.clone(), other.pid());
        let on_drop = OnDrop(move || {
            let removed = this.remove_child_handler(pid);
            notes.note(format!("{:?}", removed.map_err(|error| error.code())));
        });
        let handler = Callback::new(move |_| {
            drop(on_drop);
            Ok(())
        });
        // The second one replaces the first.
        watcher.add_handler(&*child, handler)?;
    }
    ensure!(watcher.remove(child.pid())?, "remove_child_handler: expected true");
    record.expect(["Ok(false)", "Ok(false)"])?;
    Ok(Passed)
}
