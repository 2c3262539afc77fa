//! Starting a process and giving it a watcher, in one step.

use std::{os::fd::AsRawFd, sync::Arc};

use super::{
    Child, Command, SpawnError,
    delivery::Delivery,
    orphans,
    prepare::{self, Pipes, Ready},
    table::{self, Process},
};
use crate::{
    Callback, Error, ErrorCode, LoopHandle, WatcherHandle, builtin::watchers, host, policy, services,
};

/// Starts a process that no watcher knows yet.
///
/// Give it to one with `watcher.add_child_handler(child.pid(), …)` and keep the [`Child`] until the handler was called:
/// dropped before, the process-wide reaper may be the first to take the status. Any thread; waits until the program was
/// executed.
///
/// # Errors
/// See [`SpawnError`]; no process is left.
pub fn spawn(command: Command) -> Result<Child, SpawnError> {
    prepare::check(&command)?;
    let (process, pipes) = start(prepare::prepare(command)?)?;
    Ok(Child::new(process, false, pipes))
}

/// Starts a process and calls `on_exit` on `event_loop` when it has exited (asyncio: `loop.subprocess_exec`).
///
/// The policy's child watcher notices the exit, on whatever thread; `on_exit` gets a CHILD
/// [`Event`](crate::Event) on the loop's thread. If the loop is closed by then, that is logged and the child reaped all
/// the same. If the watcher fails to take the child (no descriptors, no threads), a built-in one takes this child.
/// The exit says nothing about pipes: a grandchild may hold them open for longer.
///
/// Any thread; waits until the program was executed.
///
/// # Errors
/// See [`SpawnError`]. No process is left: with an inactive watcher none was started, and one that no watcher could
/// take is killed.
pub fn subprocess_exec(
    event_loop: &LoopHandle,
    command: Command,
    on_exit: Callback,
) -> Result<Child, SpawnError> {
    services::install();
    prepare::check(&command)?;
    let watcher = policy::get_event_loop_policy().get_child_watcher().map_err(SpawnError::Watcher)?;
    if !watcher.is_active() {
        let message = format!("{} is not active, subprocess support is not installed", watcher.name());
        return Err(SpawnError::Watcher(Error::new(ErrorCode::INACTIVE, message)));
    }
    let ready = prepare::prepare(command)?;
    let block = SpawnBlock::enter(watcher)?;
    let (process, pipes) = start(ready)?;
    let delivery = Delivery::new(process.clone(), event_loop.clone(), on_exit);
    // From here on the handle or the delivery keeps the child, whatever fails.
    let child = Child::new(process.clone(), true, pipes);
    if let Err(error) = (Registration { process, delivery, block }).run() {
        // The reaper takes it as soon as it is dead: when the delivery is dropped.
        let _ = child.kill();
        return Err(SpawnError::Watcher(error));
    }
    Ok(child)
}

fn start(mut ready: Ready) -> Result<(Arc<Process>, Pipes), SpawnError> {
    orphans::catch_up();
    let _birth = table::begin_birth();
    let spawned = ready.start()?;
    Ok((table::insert(spawned.pid, spawned.pidfd), std::mem::take(&mut ready.pipes)))
}

/// A new child that is to be given to a watcher, still inside the spawn block.
struct Registration {
    process: Arc<Process>,
    delivery: Arc<Delivery>,
    block: SpawnBlock,
}

impl Registration {
    /// Registers with the watcher, or else with the next one in the chain.
    ///
    /// A watcher that takes children only where their loop runs (`PidfdChildWatcher` for the loop of another thread,
    /// `MultiLoopChildWatcher`) gets this one there: asyncio's users would write `run_coroutine_threadsafe`. So does any
    /// watcher if another loop runs here, for it might watch the child there, and that loop may be closed first.
    fn run(mut self) -> Result<(), Error> {
        self.block.pid = self.process.pid().into();
        let event_loop = self.delivery.event_loop();
        if host::current_loop().is_some_and(|running| !running.same(event_loop)) && !event_loop.is_closed() {
            return self.run_on_loop();
        }
        let Err(error) = self.add_to(&self.block.watcher) else { return Ok(()) };
        let has_loop_elsewhere =
            matches!(error.code(), ErrorCode::NO_RUNNING_LOOP | ErrorCode::WRONG_THREAD | ErrorCode::BUSY);
        if has_loop_elsewhere && !self.delivery.event_loop().is_closed() {
            return self.run_on_loop();
        }
        self.fall_back(error)
    }

    /// Has the loop that is to be told of the exit do it. If that is closed before its turn, the process-wide reaper takes
    /// the child.
    fn run_on_loop(self) -> Result<(), Error> {
        let event_loop = self.delivery.event_loop().clone();
        let turn = Callback::new(move |_| {
            self.add_to(&self.block.watcher)
                .or_else(|error| self.fall_back(error))
                .or_else(|error| self.delivery.give_up(&error))
        });
        event_loop.call_soon_threadsafe(turn).map(drop)
    }

    fn add_to(&self, watcher: &WatcherHandle) -> Result<(), Error> {
        let pidfd = self.process.pidfd().map_or(-1, |fd| fd.as_raw_fd().into());
        watcher.add_child_handler(self.process.pid().into(), pidfd, self.delivery.callback())
    }

    fn fall_back(&self, first: Error) -> Result<(), Error> {
        let (mut last, watcher, pid) = (first, &self.block.watcher, self.process.pid());
        for next in watchers::fallbacks(watcher) {
            tracing::warn!("{} could not take child {pid}, {} does: {last}", watcher.name(), next.name());
            match self.add_to(next) {
                Ok(()) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// What stands around a spawn (asyncio: `with watcher`).
struct SpawnBlock {
    watcher: WatcherHandle,
    token: u64,
    /// 0 if there is no child.
    pid: i64,
}

impl SpawnBlock {
    fn enter(watcher: WatcherHandle) -> Result<Self, SpawnError> {
        let token = watcher.begin_spawn().map_err(SpawnError::Watcher)?;
        Ok(Self { watcher, token, pid: 0 })
    }
}

impl Drop for SpawnBlock {
    fn drop(&mut self) {
        if let Err(error) = self.watcher.end_spawn(self.token, self.pid) {
            tracing::warn!("{}: ending a spawn: {error}", self.watcher.name());
        }
    }
}
