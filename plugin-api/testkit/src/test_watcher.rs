//! A watcher under test, and a loop for it.

use std::{cell::RefCell, collections::HashMap, ops::Deref, rc::Rc};

use loophost_plugin_api::{Callback, Error, WatcherHandle};

use crate::{
    Child, Harness, Program,
    exits::Exits,
    test_loop::TestLoop,
    verdict::{Verdict, failed},
};

/// A watcher that is closed at the end of the case. Children are given to it as the host does: around a spawn, inside
/// the running loop.
pub(crate) struct TestWatcher<'a> {
    watcher: WatcherHandle,
    pub(crate) event_loop: TestLoop,
    harness: &'a dyn Harness,
    /// The tokens of the spawn blocks that are under way, by pid.
    blocks: RefCell<HashMap<i64, u64>>,
    is_abandoned: bool,
}

impl<'a> TestWatcher<'a> {
    pub(crate) fn new(watcher: WatcherHandle, event_loop: TestLoop, harness: &'a dyn Harness) -> Self {
        Self { watcher, event_loop, harness, blocks: RefCell::default(), is_abandoned: false }
    }

    /// Does something in a callback of the loop, which therefore is running.
    #[track_caller]
    pub(crate) fn inside<R: 'static>(
        &self,
        f: impl FnOnce(&WatcherHandle) -> Result<R, Error> + 'static,
    ) -> Verdict<R> {
        inside(&self.event_loop, &self.watcher, f)
    }

    /// Starts a program under the watcher.
    #[track_caller]
    pub(crate) fn start(&self, program: &Program, exits: &Exits) -> Verdict<Box<dyn Child>> {
        let child = self.spawn(program)?;
        self.add(&*child, exits)?;
        Ok(child)
    }

    /// Starts a program in a spawn block, which ends when the watcher is told of the child.
    #[track_caller]
    pub(crate) fn spawn(&self, program: &Program) -> Verdict<Box<dyn Child>> {
        let token = self.inside(|watcher| watcher.begin_spawn())?;
        let child = self.harness.processes().spawn(program)?;
        self.blocks.borrow_mut().insert(child.pid(), token);
        Ok(child)
    }

    /// Starts a program that is none of the watcher's.
    #[track_caller]
    pub(crate) fn spawn_stranger(&self, program: &Program) -> Verdict<Box<dyn Child>> {
        Ok(self.harness.processes().spawn(program)?)
    }

    /// Adds a handler for a child.
    #[track_caller]
    pub(crate) fn add(&self, child: &dyn Child, exits: &Exits) -> Verdict<()> {
        self.add_handler(child, exits.handler())
    }

    #[track_caller]
    pub(crate) fn add_handler(&self, child: &dyn Child, handler: Callback) -> Verdict<()> {
        let (pid, pidfd) = (child.pid(), child.pidfd());
        self.in_block(child, move |watcher| watcher.add_child_handler(pid, pidfd, handler))
    }

    /// Does something in the running loop, in the spawn block of the child, or else in one for this.
    #[track_caller]
    pub(crate) fn in_block<R: 'static>(
        &self,
        child: &dyn Child,
        f: impl FnOnce(&WatcherHandle) -> Result<R, Error> + 'static,
    ) -> Verdict<R> {
        let pid = child.pid();
        let open = self.blocks.borrow_mut().remove(&pid);
        let token = open.map_or_else(|| self.inside(|watcher| watcher.begin_spawn()), Ok)?;
        let done = self.inside(f);
        self.inside(move |watcher| watcher.end_spawn(token, pid))?;
        done
    }

    #[track_caller]
    pub(crate) fn remove(&self, pid: i64) -> Verdict<bool> {
        self.inside(move |watcher| watcher.remove_child_handler(pid))
    }

    /// Runs the loop until the condition holds.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, holds: impl FnMut() -> bool) -> Verdict<()> {
        self.event_loop.turns_until(what, holds)
    }

    /// Runs the loop until the handler was called.
    #[track_caller]
    pub(crate) fn wait_for(&self, child: &dyn Child, exits: &Exits) -> Verdict<()> {
        self.wait(&format!("the handler of process {}", child.pid()), || !exits.is_empty())
    }

    /// Drops handle and loop without closing the watcher.
    pub(crate) fn abandon(mut self) {
        self.is_abandoned = true;
    }

    /// Lets whatever might still come wrongly come: another child that exits later is reported.
    #[track_caller]
    pub(crate) fn settle(&self) -> Verdict<()> {
        let exits = Exits::default();
        let child = self.start(&Program::new("exit 0"), &exits)?;
        self.wait_for(&*child, &exits)?;
        self.event_loop.turn()
    }
}

/// See [`TestWatcher::inside`].
#[track_caller]
pub(crate) fn inside<R: 'static>(
    event_loop: &TestLoop,
    watcher: &WatcherHandle,
    f: impl FnOnce(&WatcherHandle) -> Result<R, Error> + 'static,
) -> Verdict<R> {
    let result = Rc::new(RefCell::new(None));
    let (slot, watcher) = (result.clone(), watcher.clone());
    event_loop.call_soon(Callback::local(move |_| {
        let answer = f(&watcher);
        *slot.borrow_mut() = Some(answer);
        Ok(())
    }))?;
    event_loop.turn()?;
    let answer = result.borrow_mut().take();
    Ok(answer.ok_or_else(|| failed("a callback of the loop was not called"))??)
}

impl Deref for TestWatcher<'_> {
    type Target = WatcherHandle;

    fn deref(&self) -> &WatcherHandle {
        &self.watcher
    }
}

impl Drop for TestWatcher<'_> {
    fn drop(&mut self) {
        if !self.is_abandoned {
            // Of a case that has failed half-way; one that is about closing has done it.
            let _ = self.watcher.close();
        }
    }
}
