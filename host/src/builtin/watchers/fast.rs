//! `FastChildWatcher`: reaps whoever has exited, and then sees whose child it was.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    mem,
    panic::Location,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use super::{
    loop_bound::{LoopBound, Scan},
    report::{has_exited, reap, report},
    sigchld::{News, Sigchld},
};
use crate::{
    Callback, ChildWatcher, Error, Fd, LoopHandle, Options,
    host::Reaped,
    policy::{Deprecation, called_from},
    process::{Next, Whose, adopts_orphans, claim, lock, reap_next, valid_pid},
    sys::wait::{self, Waited},
};

pub(super) const NAME: &str = "FastChildWatcher";

/// SIGCHLD, and then all children that have exited, whosever they are (asyncio: `FastChildWatcher`).
///
/// **It takes statuses away from other code of the program.** A `std::process::Child` that it reaps can never be waited
/// for, and a signal sent through it may reach somebody else. Processes that were started with
/// [`process`](crate::process) keep theirs, whoever watches them. [`polite`](Self::polite) gives a watcher that leaves
/// strangers alone. In return an exit costs the same however many children it watches.
///
/// Handlers can only be added between `begin_spawn` and `end_spawn`: what exits meanwhile is kept for them, and told of
/// once, in a warning, if nobody has asked for it when the last such block ends. Strangers that exit outside are warned
/// about one by one, unless this process [`adopts_orphans`].
///
/// Active while the loop that it is attached to runs; handlers are called on that loop's thread. Differences from
/// asyncio's as those of [`SafeChildWatcher`](super::SafeChildWatcher); also, a child whose status somebody else has
/// taken is reported within a second (asyncio never does).
#[derive(Debug)]
pub struct FastChildWatcher {
    bound: LoopBound<Children>,
}

struct Children {
    is_polite: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    handlers: BTreeMap<i32, Callback>,
    /// How many spawn blocks are under way, in all threads.
    blocks: u64,
    /// Who has exited inside a block and has no handler yet.
    zombies: BTreeMap<i32, Zombie>,
}

#[derive(Clone, Copy)]
struct Zombie {
    end: Reaped,
    /// Whether the host has started it: then it has somebody who asks for it, if not here.
    ours: bool,
}

impl FastChildWatcher {
    /// A watcher with no children, attached to no loop. Deprecated in the profile of 3.12.
    #[track_caller]
    pub fn new() -> Self {
        called_from(Location::caller(), || Deprecation::FastChildWatcher.emit_in_profile());
        Self::default()
    }

    /// One that reaps the children that it watches and those that the host has started, and where this process
    /// [`adopts_orphans`] those too. A stranger that nobody reaps makes it as slow as
    /// [`SafeChildWatcher`](super::SafeChildWatcher). Deprecated as [`new`](Self::new).
    #[track_caller]
    pub fn polite() -> Self {
        called_from(Location::caller(), || Deprecation::FastChildWatcher.emit_in_profile());
        Self::with(true)
    }

    pub(super) fn with_options(options: &Options) -> Result<Self, Error> {
        let mut is_polite = false;
        for option in options.iter() {
            is_polite = match (option.key(), option.value()) {
                ("polite", "true") => true,
                ("polite", "false") => false,
                ("polite", other) => {
                    return Err(Error::invalid_argument(format!(
                        "polite must be true or false, not {other}"
                    )));
                }
                (key, _) => {
                    return Err(Error::invalid_argument(format!("the watcher fast has no option {key}")));
                }
            };
        }
        Ok(Self::with(is_polite))
    }

    fn with(is_polite: bool) -> Self {
        let bound = LoopBound::<Children>::new();
        bound.scanner().is_polite.store(is_polite, Relaxed);
        Self { bound }
    }

    fn state(&self) -> &Mutex<State> {
        &self.bound.scanner().state
    }
}

impl Default for FastChildWatcher {
    /// As [`new`](Self::new), without a word about deprecation.
    fn default() -> Self {
        Self::with(false)
    }
}

impl ChildWatcher for FastChildWatcher {
    fn add_child_handler(&self, pid: i64, _lent: Fd, callback: Callback) -> Result<(), Error> {
        let pid = valid_pid(pid)?;
        self.bound.check_attached()?;
        let (replaced, is_zombie) = {
            let mut state = lock(self.state());
            if state.blocks == 0 {
                return Err(outside_a_block());
            }
            (state.handlers.insert(pid, callback), state.zombies.contains_key(&pid))
        };
        drop(replaced);
        // Closed in between: nobody would look at it any more.
        if let Err(error) = self.bound.check_attached() {
            drop(self.remove_child_handler(pid.into()));
            return Err(error);
        }
        match wait::peek(pid) {
            _ if is_zombie => self.bound.look(News::Signal),
            Ok(Waited::Alive) => {}
            Ok(Waited::Exited(_)) => self.bound.look(News::Signal),
            // Reaping whoever has exited will not find it.
            Ok(Waited::NoChild) | Err(_) => self.bound.look(News::Pulse),
        }
        Ok(())
    }

    fn remove_child_handler(&self, pid: i64) -> Result<bool, Error> {
        let pid = valid_pid(pid)?;
        let removed = lock(self.state()).handlers.remove(&pid);
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
        Sigchld::verify()?;
        lock(self.state()).blocks += 1;
        Ok(0)
    }

    fn end_spawn(&self, _: u64, _: i64) -> Result<(), Error> {
        let unclaimed = {
            let mut state = lock(self.state());
            state.blocks = state.blocks.checked_sub(1).ok_or_else(outside_a_block)?;
            if state.blocks > 0 {
                return Ok(());
            }
            let State { handlers, zombies, .. } = &mut *state;
            let (asked_for, unclaimed) =
                mem::take(zombies).into_iter().partition(|(pid, _)| handlers.contains_key(pid));
            *zombies = asked_for;
            unclaimed
        };
        warn_of_strangers(unclaimed);
        Ok(())
    }

    fn close(&self) -> Result<(), Error> {
        self.bound.detach();
        let (handlers, zombies) = {
            let mut state = lock(self.state());
            (mem::take(&mut state.handlers), mem::take(&mut state.zombies))
        };
        drop((handlers, zombies));
        Ok(())
    }

    fn name(&self) -> String {
        NAME.into()
    }
}

impl Drop for FastChildWatcher {
    fn drop(&mut self) {
        // It cannot fail.
        let _ = self.close();
    }
}

impl Scan for Children {
    const NAME: &str = NAME;

    fn new(parents: Option<&Self>) -> Self {
        let is_polite = parents.is_some_and(|parents| parents.is_polite.load(Relaxed));
        Self { is_polite: AtomicBool::new(is_polite), state: Mutex::default() }
    }

    fn scan(&self, news: News, failed: &dyn Fn(Error)) {
        self.report_zombies(failed);
        let has_seen_all = self.reap_all(failed);
        if news == News::Pulse || !has_seen_all {
            self.sweep(failed);
        }
    }

    fn pending(&self) -> usize {
        lock(&self.state).handlers.len()
    }
}

impl Children {
    /// Those whose handlers were added after their exit.
    fn report_zombies(&self, failed: &dyn Fn(Error)) {
        loop {
            let (pid, zombie, callback) = {
                let mut state = lock(&self.state);
                let State { handlers, zombies, .. } = &mut *state;
                let Some(pid) = zombies.keys().copied().find(|pid| handlers.contains_key(pid)) else {
                    return;
                };
                let (Some(zombie), Some(callback)) = (zombies.remove(&pid), handlers.remove(&pid)) else {
                    return;
                };
                (pid, zombie, callback)
            };
            claim(pid);
            report(pid, zombie.end, callback).unwrap_or_else(failed);
        }
    }

    /// Reaps whoever has exited; false if somebody may have been overlooked.
    fn reap_all(&self, failed: &dyn Fn(Error)) -> bool {
        let whose =
            if self.is_polite.load(Relaxed) && !adopts_orphans() { Whose::Ours } else { Whose::Everybody };
        loop {
            match reap_next(whose) {
                Ok(Next::Reaped { pid, end, ours }) => self.reaped(pid, Zombie { end, ours }, failed),
                Ok(Next::Nobody) => return true,
                Ok(Next::InTheWay) => return false,
                // A sandbox that allows wait4(2) only. Asking for each of them works there too.
                Err(error) => {
                    tracing::debug!("{NAME}: reaping whoever has exited: {error}");
                    return false;
                }
            }
        }
    }

    fn reaped(&self, pid: i32, zombie: Zombie, failed: &dyn Fn(Error)) {
        let callback = {
            let mut state = lock(&self.state);
            let callback = state.handlers.remove(&pid);
            if callback.is_none() && state.blocks > 0 {
                state.zombies.insert(pid, zombie);
                return;
            }
            callback
        };
        match callback {
            Some(callback) => {
                claim(pid);
                report(pid, zombie.end, callback).unwrap_or_else(failed);
            }
            None => warn_of_strangers([(pid, zombie)].into()),
        }
    }

    /// Looks at each child, for those whose status somebody else has taken.
    fn sweep(&self, failed: &dyn Fn(Error)) {
        let pids: Vec<_> = lock(&self.state).handlers.keys().copied().collect();
        for pid in pids.into_iter().filter(|pid| has_exited(*pid)) {
            let Some(callback) = lock(&self.state).handlers.remove(&pid) else { continue };
            match reap(pid) {
                Reaped::StillAlive => self.put_back(pid, callback),
                end => report(pid, end, callback).unwrap_or_else(failed),
            }
        }
    }

    /// It could not be seen whether the child had exited. A handler that was added meanwhile stays.
    fn put_back(&self, pid: i32, callback: Callback) {
        if let Entry::Vacant(place) = lock(&self.state).handlers.entry(pid) {
            place.insert(callback);
        }
    }
}

/// Says who was reaped without anybody having asked for it.
fn warn_of_strangers(zombies: BTreeMap<i32, Zombie>) {
    let strangers = zombies.into_iter().filter(|(_, zombie)| !zombie.ours);
    let strangers: Vec<_> = strangers
        .map(|(pid, zombie)| match zombie.end {
            Reaped::Exited(exit) => format!("{pid} -> {}", exit.returncode()),
            _ => pid.to_string(),
        })
        .collect();
    if strangers.is_empty() {
        return;
    }
    let strangers = strangers.join(", ");
    if adopts_orphans() {
        tracing::debug!("reaped unknown children, perhaps adopted: {strangers}");
    } else {
        tracing::warn!("caught the exit of unknown children, whose statuses are lost: {strangers}");
    }
}

fn outside_a_block() -> Error {
    Error::invalid_argument(format!(
        "{NAME} takes children only between begin_spawn and end_spawn: start them there, or their statuses may be lost"
    ))
}
