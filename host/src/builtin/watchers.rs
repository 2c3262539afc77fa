//! Built-in child watchers, by name.

mod fast;
mod loop_bound;
mod multi_loop;
mod pidfd;
mod report;
mod safe;
mod sigchld;
mod threaded;

use std::{panic::Location, sync::OnceLock};

pub use fast::FastChildWatcher;
pub use multi_loop::MultiLoopChildWatcher;
pub use pidfd::PidfdChildWatcher;
pub use safe::SafeChildWatcher;
pub use threaded::ThreadedChildWatcher;

use crate::{
    Error, ErrorCode, Options, WatcherHandle,
    policy::{Deprecation, called_from},
    process::PidfdProbe,
    services,
};

/// The names that [`new`] knows.
pub const NAMES: [&str; 6] = ["pidfd", "threaded", "auto", "safe", "fast", "multi-loop"];

/// Makes a built-in watcher by name: one of asyncio's, or `auto`, which is pidfd where the [probe](PidfdProbe::get) says
/// that it works, else threaded. The only option is `polite=true` of `fast`, see [`FastChildWatcher::polite`]. Any
/// thread.
///
/// # Errors
/// `NotFound` for another name, `InvalidArgument` for an option that there is not.
#[track_caller]
pub fn new(name: &str, options: &Options) -> Result<WatcherHandle, Error> {
    called_from(Location::caller(), || new_for_plugin(name, options))
}

/// The same, asked for by somebody who has no place in a source file.
pub(crate) fn new_for_plugin(name: &str, options: &Options) -> Result<WatcherHandle, Error> {
    let watcher = make(name, options)?;
    match name {
        "safe" => Deprecation::SafeChildWatcher.emit_in_profile(),
        "fast" => Deprecation::FastChildWatcher.emit_in_profile(),
        "multi-loop" => Deprecation::MultiLoopChildWatcher.emit_in_profile(),
        _ => {}
    }
    Ok(watcher)
}

/// The same without a word about deprecation.
pub(crate) fn make(name: &str, options: &Options) -> Result<WatcherHandle, Error> {
    services::install();
    let watcher = match name {
        "pidfd" => WatcherHandle::new(PidfdChildWatcher::new()),
        "threaded" => WatcherHandle::new(ThreadedChildWatcher::new()),
        "auto" if PidfdProbe::get().works => WatcherHandle::new(PidfdChildWatcher::new()),
        "auto" => WatcherHandle::new(ThreadedChildWatcher::new()),
        "safe" => WatcherHandle::new(SafeChildWatcher::default()),
        "fast" => return FastChildWatcher::with_options(options).map(WatcherHandle::new),
        "multi-loop" => WatcherHandle::new(MultiLoopChildWatcher::default()),
        _ => {
            return Err(Error::new(
                ErrorCode::NOT_FOUND,
                format!("no built-in child watcher is called {name}: there are {}", NAMES.join(", ")),
            ));
        }
    };
    match options.iter().next() {
        Some(option) => {
            Err(Error::invalid_argument(format!("the watcher {name} has no option {}", option.key())))
        }
        None => Ok(watcher),
    }
}

/// The names of the built-in watchers that a child is offered to, one after the other, if the policy's watcher cannot
/// take it. `first` is the [name](crate::ChildWatcher::name) of that one, or a built-in's short one.
pub fn chain_after(first: &str, probe: &PidfdProbe) -> &'static [&'static str] {
    // What one PidfdChildWatcher cannot do, another one cannot either.
    if probe.works && !["pidfd", pidfd::NAME].contains(&first) {
        &["pidfd", "threaded"]
    } else {
        &["threaded"]
    }
}

/// The watchers of [`chain_after`] that are active. They are made once and never closed.
pub(crate) fn fallbacks(first: &WatcherHandle) -> impl Iterator<Item = &'static WatcherHandle> {
    static PIDFD: OnceLock<WatcherHandle> = OnceLock::new();
    let chain = chain_after(&first.name(), PidfdProbe::get()).iter();
    let watchers = chain.map(|name| match *name {
        "pidfd" => PIDFD.get_or_init(|| WatcherHandle::new(PidfdChildWatcher::new())),
        _ => last_resort(),
    });
    watchers.filter(|watcher| watcher.is_active())
}

/// The watcher at the end of the chain, which needs neither a loop nor a pidfd.
pub(crate) fn last_resort() -> &'static WatcherHandle {
    static THREADED: OnceLock<WatcherHandle> = OnceLock::new();
    THREADED.get_or_init(|| WatcherHandle::new(ThreadedChildWatcher::new()))
}
