//! Built-in child watchers, by name.

mod pidfd;
mod report;
mod threaded;

use std::sync::OnceLock;

pub use pidfd::PidfdChildWatcher;
pub use threaded::ThreadedChildWatcher;

use crate::{Error, ErrorCode, Options, WatcherHandle, process::PidfdProbe, services};

/// The names that [`new`] knows.
pub const NAMES: [&str; 3] = ["pidfd", "threaded", "auto"];

/// Makes a built-in watcher by name: `pidfd`, `threaded`, or `auto` (pidfd where the [probe](PidfdProbe::get) says that
/// it works, else threaded). There are no options. Any thread.
///
/// # Errors
/// `NotFound` for another name, `InvalidArgument` for an option.
pub fn new(name: &str, options: &Options) -> Result<WatcherHandle, Error> {
    services::install();
    let watcher = match name {
        "pidfd" => WatcherHandle::new(PidfdChildWatcher::new()),
        "threaded" => WatcherHandle::new(ThreadedChildWatcher::new()),
        "auto" if PidfdProbe::get().works => WatcherHandle::new(PidfdChildWatcher::new()),
        "auto" => WatcherHandle::new(ThreadedChildWatcher::new()),
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

/// The watchers that take a child which `first` could not take, in their order. They are made once and never closed.
pub(crate) fn fallbacks(first: &WatcherHandle) -> impl Iterator<Item = &'static WatcherHandle> {
    static PIDFD: OnceLock<WatcherHandle> = OnceLock::new();
    // What one PidfdChildWatcher cannot do, another one cannot either.
    let pidfd = first.name() != pidfd::NAME && PidfdProbe::get().works;
    let pidfd = pidfd.then(|| PIDFD.get_or_init(|| WatcherHandle::new(PidfdChildWatcher::new())));
    pidfd.filter(|watcher| watcher.is_active()).into_iter().chain([last_resort()])
}

/// The watcher at the end of the chain, which needs neither a loop nor a pidfd.
pub(crate) fn last_resort() -> &'static WatcherHandle {
    static THREADED: OnceLock<WatcherHandle> = OnceLock::new();
    THREADED.get_or_init(|| WatcherHandle::new(ThreadedChildWatcher::new()))
}
