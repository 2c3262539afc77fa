//! Starting a process and giving it a watcher, in one step.

use std::sync::Arc;

use super::{
    Child, Command, SpawnError,
    delivery::Delivery,
    orphans,
    prepare::{self, Pipes, Ready},
    table::{self, Process},
};
use crate::{Callback, Error, ErrorCode, LoopHandle, WatcherHandle, builtin::watchers, policy, services};

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
    let block = SpawnBlock::enter(&watcher)?;
    let (process, pipes) = start(ready)?;
    let delivery = Delivery::new(process.clone(), event_loop.clone(), on_exit);
    // From here on the handle or the delivery keeps the child, whatever fails.
    let child = Child::new(process.clone(), true, pipes);
    if let Err(error) = register(&watcher, &process, &delivery) {
        // The reaper takes it as soon as it is dead: when `delivery` is dropped.
        let _ = child.kill();
        return Err(SpawnError::Watcher(error));
    }
    block.exit(process.pid());
    Ok(child)
}

fn start(mut ready: Ready) -> Result<(Arc<Process>, Pipes), SpawnError> {
    orphans::catch_up();
    let _birth = table::begin_birth();
    let spawned = ready.start()?;
    Ok((table::insert(spawned.pid, spawned.pidfd), std::mem::take(&mut ready.pipes)))
}

/// Registers with the watcher, or else with the next one in the chain.
fn register(watcher: &WatcherHandle, process: &Process, delivery: &Arc<Delivery>) -> Result<(), Error> {
    let pid = i64::from(process.pid());
    let pidfd = process.pidfd().map_or(-1, |fd| std::os::fd::AsRawFd::as_raw_fd(&fd).into());
    let Err(first) = watcher.add_child_handler(pid, pidfd, delivery.callback()) else { return Ok(()) };
    let mut last = first;
    for next in watchers::fallbacks(watcher) {
        tracing::warn!("{} could not take child {pid}, {} does: {last}", watcher.name(), next.name());
        match next.add_child_handler(pid, pidfd, delivery.callback()) {
            Ok(()) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// What stands around a spawn (asyncio: `with watcher`).
struct SpawnBlock<'a> {
    watcher: &'a WatcherHandle,
    token: u64,
    pid: i64,
}

impl<'a> SpawnBlock<'a> {
    fn enter(watcher: &'a WatcherHandle) -> Result<Self, SpawnError> {
        let token = watcher.begin_spawn().map_err(SpawnError::Watcher)?;
        Ok(Self { watcher, token, pid: 0 })
    }

    fn exit(mut self, pid: i32) {
        self.pid = pid.into();
    }
}

impl Drop for SpawnBlock<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.watcher.end_spawn(self.token, self.pid) {
            tracing::warn!("{}: ending a spawn: {error}", self.watcher.name());
        }
    }
}
