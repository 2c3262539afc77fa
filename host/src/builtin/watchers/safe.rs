//! `SafeChildWatcher`: asks for each of its children whenever one has exited.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    mem,
    panic::Location,
    sync::Mutex,
};

use super::{
    loop_bound::{LoopBound, Scan},
    report::{has_exited, reap, report},
    sigchld::{News, Sigchld},
};
use crate::{
    Callback, ChildWatcher, Error, Fd, LoopHandle,
    host::Reaped,
    policy::{Deprecation, called_from},
    process::{lock, valid_pid},
};

pub(super) const NAME: &str = "SafeChildWatcher";

/// SIGCHLD, and then a look at each child that it watches (asyncio: `SafeChildWatcher`).
///
/// Touches no other children of the process, and pays with one system call for each of its own whenever one exits.
/// Active while the loop that it is attached to runs; handlers are called on that loop's thread. Other threads may attach
/// it, add and remove. Unlike asyncio's,
/// - a handler is never called from inside `add_child_handler`, which fails if there is no loop;
/// - attaching another loop moves the children, and a failed attempt changes nothing;
/// - a handler that fails does not keep others from being called;
/// - if the loop is closed, handlers are called on whatever thread notices the exit;
/// - once a second it looks whether other code has taken SIGCHLD or a status away.
#[derive(Debug)]
pub struct SafeChildWatcher {
    bound: LoopBound<Children>,
}

/// By pid, so that those that have exited together are reported in the order of their pids.
#[derive(Default)]
struct Children(Mutex<BTreeMap<i32, Callback>>);

impl SafeChildWatcher {
    /// A watcher with no children, attached to no loop. Deprecated in the profile of 3.12.
    #[track_caller]
    pub fn new() -> Self {
        called_from(Location::caller(), || Deprecation::SafeChildWatcher.emit_in_profile());
        Self::default()
    }
}

impl Default for SafeChildWatcher {
    /// As [`new`](Self::new), without a word about deprecation.
    fn default() -> Self {
        Self { bound: LoopBound::new() }
    }
}

impl ChildWatcher for SafeChildWatcher {
    fn add_child_handler(&self, pid: i64, _lent: Fd, callback: Callback) -> Result<(), Error> {
        let pid = valid_pid(pid)?;
        self.bound.check_attached()?;
        let replaced = lock(&self.bound.scanner().0).insert(pid, callback);
        drop(replaced);
        // Closed in between: nobody would look at it any more.
        if let Err(error) = self.bound.check_attached() {
            drop(self.remove_child_handler(pid.into()));
            return Err(error);
        }
        // Its signal may have come already.
        if has_exited(pid) {
            self.bound.look(News::Signal);
        }
        Ok(())
    }

    fn remove_child_handler(&self, pid: i64) -> Result<bool, Error> {
        let pid = valid_pid(pid)?;
        let removed = lock(&self.bound.scanner().0).remove(&pid);
        Ok(removed.is_some())
    }

    fn attach_loop(&self, event_loop: Option<LoopHandle>) -> Result<(), Error> {
        self.bound.attach(event_loop)
    }

    fn is_active(&self) -> bool {
        self.bound.is_active()
    }

    fn begin_spawn(&self) -> Result<u64, Error> {
        self.bound.check_attached()?;
        Sigchld::verify().map(|()| 0)
    }

    fn end_spawn(&self, _: u64, _: i64) -> Result<(), Error> {
        Ok(())
    }

    fn close(&self) -> Result<(), Error> {
        self.bound.detach();
        let children = mem::take(&mut *lock(&self.bound.scanner().0));
        drop(children);
        Ok(())
    }

    fn name(&self) -> String {
        NAME.into()
    }
}

impl Drop for SafeChildWatcher {
    fn drop(&mut self) {
        // It cannot fail.
        let _ = self.close();
    }
}

impl Scan for Children {
    const NAME: &str = NAME;

    fn new(_: Option<&Self>) -> Self {
        Self::default()
    }

    fn scan(&self, _: News, failed: &dyn Fn(Error)) {
        let pids: Vec<_> = lock(&self.0).keys().copied().collect();
        for pid in pids.into_iter().filter(|pid| has_exited(*pid)) {
            // Taken out first: whoever has the handler has the status.
            let Some(callback) = lock(&self.0).remove(&pid) else { continue };
            match reap(pid) {
                Reaped::StillAlive => self.put_back(pid, callback),
                end => report(pid, end, callback).unwrap_or_else(failed),
            }
        }
    }

    fn pending(&self) -> usize {
        lock(&self.0).len()
    }
}

impl Children {
    /// It could not be seen whether the child had exited. A handler that was added meanwhile stays.
    fn put_back(&self, pid: i32, callback: Callback) {
        if let Entry::Vacant(place) = lock(&self.0).entry(pid) {
            place.insert(callback);
        }
    }
}
