//! What a plugin may ask of the host: the running loop, the policy, signals, built-ins and statuses of children.
//!
//! Every `.so` has its own statics and thread-locals, so whatever must exist once in a process lives in the host.
//! These functions reach it; in a test or program without a host they answer `NotSupported`.

mod services;

use std::{fmt, marker::PhantomData, sync::OnceLock};

#[doc(hidden)]
pub use services::{ExitPlace, ForkMark, HostServices, HostServices_Ref};

use crate::{
    ChildExit, Error, ErrorCode, Event, HandleId, LoopHandle, Options, PolicyHandle, RepeatCallback,
    WatcherHandle,
};

static SERVICES: OnceLock<HostServices_Ref> = OnceLock::new();

/// Gives this copy of the crate its host: the plugin's root does it when a file is loaded, the host for itself.
#[doc(hidden)]
pub fn install(services: HostServices_Ref) {
    SERVICES.get_or_init(|| services);
}

pub(crate) fn try_services() -> Option<HostServices_Ref> {
    SERVICES.get().copied()
}

fn services() -> Result<HostServices_Ref, Error> {
    try_services()
        .ok_or_else(|| Error::new(ErrorCode::NOT_SUPPORTED, "no loophost host has loaded this plugin"))
}

/// Announces that this thread runs `event_loop`, until the guard is dropped (asyncio: `_set_running_loop`).
///
/// # Errors
/// `LoopRunning` if a loop is running in this thread already.
pub fn enter_running(event_loop: &LoopHandle) -> Result<RunningLoop, Error> {
    let token = services()?.enter_running()(event_loop).into_result()?;
    Ok(RunningLoop { token, _not_send: PhantomData })
}

/// Says that this thread runs a loop, until it is dropped. Stays in its thread.
pub struct RunningLoop {
    token: u64,
    _not_send: PhantomData<*const ()>,
}

impl fmt::Debug for RunningLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RunningLoop").field(&self.token).finish()
    }
}

impl Drop for RunningLoop {
    fn drop(&mut self) {
        if let Some(services) = try_services()
            && let Err(error) = services.leave_running()(self.token).into_result()
        {
            tracing::error!("leaving the running loop: {error}");
        }
    }
}

/// The loop that runs in this thread (asyncio: `_get_running_loop`).
pub fn current_loop() -> Option<LoopHandle> {
    try_services()?.current_loop()().into()
}

/// The number of this process: another one than that of everything it descends from by fork(2) without exec; 0 without a
/// host. What was made under another number belongs to a process before this one, and must not be used here. A load of
/// memory, no system call. Any thread.
#[inline]
pub fn process_number() -> u64 {
    let Some(services) = try_services() else { return 0 };
    match services.fork_mark().number() {
        0 => services.process_number()(),
        number => number,
    }
}

/// The policy of the process (asyncio: `get_event_loop_policy`).
pub fn get_event_loop_policy() -> Result<PolicyHandle, Error> {
    services()?.get_event_loop_policy()().into_result()
}

/// Replaces the policy of the process; `None` makes a fresh default (asyncio: `set_event_loop_policy`).
pub fn set_event_loop_policy(policy: Option<PolicyHandle>) -> Result<(), Error> {
    services()?.set_event_loop_policy()(policy.into()).into_result()
}

/// Makes one of the host's built-in loops, by name. Within a major of the ABI there is always
/// - `selector`: readiness and emulated completion on what the system has for it, epoll(7) on Linux. It takes no options.
///
/// # Errors
/// `NotFound` for any other name that this host does not know, `InvalidArgument` for an option that it does not take.
pub fn new_loop(name: &str, options: &Options) -> Result<LoopHandle, Error> {
    services()?.new_loop()(name.into(), options.to_abi()).into_result()
}

/// Makes one of the host's built-in watchers, by name. Within a major of the ABI there are always
/// - `auto`: `pidfd` if it really works here, else `threaded`;
/// - `pidfd`: a pidfd for each child, watched by one loop;
/// - `threaded`: a thread for each child;
/// - `safe`: SIGCHLD, then a look at each of its children;
/// - `fast`: SIGCHLD, then reaps every child of the process; with the option `polite=true` it leaves those of other code
///   alone;
/// - `multi-loop`: SIGCHLD, for loops in any thread.
///
/// # Errors
/// `NotFound` for any other name that this host does not know, `InvalidArgument` for an option that it does not take.
pub fn new_watcher(name: &str, options: &Options) -> Result<WatcherHandle, Error> {
    services()?.new_watcher()(name.into(), options.to_abi()).into_result()
}

/// Calls `callback` on the host's service thread when the signal arrives. A loop hops to its own thread from there.
///
/// # Errors
/// `InvalidArgument` for a number that is no signal or cannot be caught.
pub fn signal_subscribe(signum: i32, callback: RepeatCallback) -> Result<HandleId, Error> {
    services()?.signal_subscribe()(signum, callback).into_result()
}

/// Ends a subscription; true if there was one. When it returns the callback is not running, unless this is called
/// from inside it.
pub fn signal_unsubscribe(id: HandleId) -> Result<bool, Error> {
    services()?.signal_unsubscribe()(id).into_result()
}

/// What became of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaped {
    /// It has exited, and this call took its status.
    Exited(ChildExit),
    /// It lives.
    StillAlive,
    /// It is no child of this process, or this call was not the first to take its status.
    NotOurs,
    /// Somebody else took the status before the host.
    Lost,
    /// Somebody else took the status, but the kernel still knew it.
    Recovered(ChildExit),
}

/// Takes the status of child `pid` if it has exited. Never waits.
pub fn reap(pid: i64) -> Result<Reaped, Error> {
    let mut exit = ChildExit::new(0);
    let code = services()?.reap()(pid, ExitPlace::new(&mut exit)).into_result()?;
    match code {
        services::REAPED => Ok(Reaped::Exited(exit)),
        services::STILL_ALIVE => Ok(Reaped::StillAlive),
        services::NOT_OURS => Ok(Reaped::NotOurs),
        services::RECOVERED => Ok(Reaped::Recovered(exit)),
        _ => Ok(Reaped::Lost),
    }
}

impl Reaped {
    /// How it crosses: the code, and the exit if there is one.
    #[doc(hidden)]
    pub fn to_abi(self) -> (u32, ChildExit) {
        let none = ChildExit::new(0);
        match self {
            Self::Exited(exit) => (services::REAPED, exit),
            Self::StillAlive => (services::STILL_ALIVE, none),
            Self::NotOurs => (services::NOT_OURS, none),
            Self::Lost => (services::LOST, none),
            Self::Recovered(exit) => (services::RECOVERED, exit),
        }
    }

    /// Calls a child handler with the event for this end of child `pid`; while the child lives it is `None` and
    /// `deliver` is not called.
    pub fn deliver<R>(self, pid: i64, deliver: impl FnOnce(&Event) -> R) -> Option<R> {
        let (exit, flags) = match self {
            Self::StillAlive => return None,
            Self::Exited(exit) => (exit, 0),
            Self::Recovered(exit) => (exit, Event::RECOVERED),
            Self::NotOurs | Self::Lost => (ChildExit::new(255 << 8), Event::STATUS_LOST),
        };
        Some(deliver(&Event::child(pid, &exit, flags)))
    }
}
