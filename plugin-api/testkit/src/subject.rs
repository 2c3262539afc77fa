//! What a case is run on.

use std::{fmt, path::PathBuf};

use loophost_plugin_api::{Error, LoopHandle, Metadata, PolicyHandle, WatcherHandle};

/// Makes a fresh one each time; cases never share one.
pub type Make<'a, T> = &'a (dyn Fn() -> Result<T, Error> + 'a);

/// What is under test.
#[derive(Clone, Copy)]
pub enum Subject<'a> {
    /// Loops.
    EventLoop(Make<'a, LoopHandle>),
    /// Watchers, attached to nothing.
    ChildWatcher(Make<'a, WatcherHandle>),
    /// Policies, with their loops and their watcher.
    Policy(Make<'a, PolicyHandle>),
    /// A plugin file, or what stands for one.
    Plugin(&'a dyn PluginFile),
}

/// A plugin, before and after it is loaded.
pub trait PluginFile {
    /// Its file; `None` if it is linked in.
    fn path(&self) -> Option<PathBuf>;

    /// What it says of itself; read from the file, with none of its code run.
    fn metadata(&self) -> Result<Metadata, Error>;

    /// Loads it and runs its `init`. A second time it changes nothing.
    fn load(&self) -> Result<(), Error>;

    /// Asks it for a policy or watcher by a name that it may not know.
    fn make(&self, kind: loophost_plugin_api::OfferKind, name: &str) -> Result<(), Error>;
}

impl Subject<'_> {
    /// For messages, with its article.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::EventLoop(_) => "an event loop",
            Self::ChildWatcher(_) => "a child watcher",
            Self::Policy(_) => "a policy",
            Self::Plugin(_) => "a plugin file",
        }
    }
}

impl fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}
