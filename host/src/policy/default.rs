//! The policy that a process has unless it chooses another one.

use std::{
    fmt, mem,
    sync::{Mutex, MutexGuard},
    thread,
};

use super::{
    deprecated::Deprecation,
    profile::{Profile, profile},
    slots::Slots,
};
use crate::{
    Error, ErrorCode, LoopHandle, Options, Policy, PolicyHandle, WatcherHandle, builtin,
    process::lock,
    sys::{self, per_process::PerProcess},
};

/// The default policy: the context is the thread, and there is one child watcher (asyncio: `DefaultEventLoopPolicy`).
///
/// - `get_event_loop` gives the loop of this thread. In the main thread, and only before the first `set_event_loop`
///   there, it makes one through `this.set_event_loop(this.new_event_loop())`; otherwise it fails with `NoCurrentLoop`.
/// - `set_event_loop` in the main thread attaches the child watcher to that loop first, or detaches it; if that fails
///   the loop of the thread stays what it was (asyncio changes it all the same). Other threads leave the watcher alone.
/// - `set_child_watcher` closes the previous watcher and attaches the new one to nothing; the same object again
///   changes nothing (asyncio closes it and keeps it).
///
/// To change one of these, write a policy with this one as its [`base`](Policy::base).
pub struct DefaultEventLoopPolicy {
    profile: Profile,
    /// The built-in loop that `new_event_loop` makes, and its options.
    loop_name: String,
    loop_options: Options,
    slots: Slots,
    watcher: PerProcess<Mutex<Option<WatcherHandle>>>,
}

impl DefaultEventLoopPolicy {
    /// The default: loops by `selector`, and the [`profile`] that the process has now.
    pub fn new() -> Self {
        Self::with_loop("selector", Options::new())
    }

    /// A default policy whose `new_event_loop` makes the built-in loop `name` with `options`.
    pub fn with_loop(name: &str, options: Options) -> Self {
        Self {
            profile: profile(),
            loop_name: name.to_owned(),
            loop_options: options,
            slots: Slots::new(),
            watcher: PerProcess::new(|_| Mutex::default()),
        }
    }

    /// The same policy with another profile.
    #[must_use]
    pub fn with_profile(self, profile: Profile) -> Self {
        Self { profile, ..self }
    }

    fn watcher(&self) -> MutexGuard<'_, Option<WatcherHandle>> {
        lock(self.watcher.get())
    }

    /// The watcher, if there is one already. The lock is gone when this returns.
    fn existing_watcher(&self) -> Option<WatcherHandle> {
        self.watcher().clone()
    }

    fn new_watcher(&self) -> Result<WatcherHandle, Error> {
        let watcher = builtin::watchers::make(self.profile.default_watcher(), &Options::new())?;
        if self.profile.attaches_default_watcher() && sys::thread::is_main() {
            watcher.attach_loop(self.slots.get())?;
        }
        Ok(watcher)
    }
}

impl Default for DefaultEventLoopPolicy {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for DefaultEventLoopPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DefaultEventLoopPolicy")
            .field("profile", &self.profile)
            .field("loop_name", &self.loop_name)
            .field("loop_options", &self.loop_options)
            .finish_non_exhaustive()
    }
}

impl Policy for DefaultEventLoopPolicy {
    fn get_event_loop(&self, this: &PolicyHandle) -> Result<LoopHandle, Error> {
        if let Some(event_loop) = self.slots.get() {
            return Ok(event_loop);
        }
        if sys::thread::is_main() && !self.slots.set_was_called() {
            if self.profile.deprecates(Deprecation::ImplicitEventLoop) {
                Deprecation::ImplicitEventLoop.emit();
            }
            this.set_event_loop(Some(this.new_event_loop()?))?;
        }
        self.slots.get().ok_or_else(no_current_loop)
    }

    fn set_event_loop(&self, _this: &PolicyHandle, event_loop: Option<LoopHandle>) -> Result<(), Error> {
        self.slots.set_is_called()?;
        if sys::thread::is_main()
            && let Some(watcher) = self.existing_watcher()
        {
            watcher.attach_loop(event_loop.clone())?;
        }
        self.slots.set(event_loop)
    }

    fn new_event_loop(&self, _this: &PolicyHandle) -> Result<LoopHandle, Error> {
        builtin::loops::new(&self.loop_name, &self.loop_options)
    }

    fn get_child_watcher(&self, _this: &PolicyHandle) -> Result<WatcherHandle, Error> {
        if let Some(watcher) = self.existing_watcher() {
            return Ok(watcher);
        }
        // Made with no lock held. If another thread was faster its watcher counts, and ours goes after the lock.
        let fresh = self.new_watcher()?;
        Ok(self.watcher().get_or_insert_with(|| fresh.clone()).clone())
    }

    fn set_child_watcher(&self, _this: &PolicyHandle, watcher: Option<WatcherHandle>) -> Result<(), Error> {
        let previous = {
            let mut current = self.watcher();
            if let (Some(old), Some(new)) = (&*current, &watcher)
                && old.same(new)
            {
                return Ok(());
            }
            mem::replace(&mut *current, watcher)
        };
        previous.map_or(Ok(()), |previous| previous.close())
    }
}

#[cold]
fn no_current_loop() -> Error {
    let current = thread::current();
    let thread = current.name().map_or_else(|| format!("{:?}", current.id()), |name| format!("`{name}`"));
    Error::new(
        ErrorCode::NO_CURRENT_LOOP,
        format!("there is no current event loop in thread {thread}: call set_event_loop there first"),
    )
    .with_detail("thread", thread)
}
