//! The policy `uring`: the default policy, with loops on io_uring. The child watcher `uring`: exits as operations.
//!
//! The loop is base-loop around a ring (`ring.rs`): operations go to the kernel, readers, writers and streams are polls, mostly
//! in a second ring (`polls.rs`). The watcher is the policy's own unless another one is set; it works on other loops that have
//! the operation too.

#![deny(unsafe_code)]

mod availability;
mod child_watcher;
mod entry;
mod polls;
mod ring;
mod settings;
#[allow(unsafe_code, reason = "the door to the operating system")]
mod sys;

use loophost_base_loop::BaseLoop;
use loophost_plugin_api::{
    Error, LoopHandle, Options, Plugin, Policy, PolicyHandle, WatcherHandle, export_plugin,
};

use crate::{availability::Features, child_watcher::UringChildWatcher, ring::Ring, settings::Settings};

struct UringPolicy {
    base: PolicyHandle,
    settings: Settings,
    features: Features,
}

impl Policy for UringPolicy {
    fn new_event_loop(&self, _this: &PolicyHandle) -> Result<LoopHandle, Error> {
        let ring = Ring::new(&self.settings, self.features)
            .map_err(|error| Error::os(&error, format_args!("making {}", self.settings)))?;
        Ok(LoopHandle::new(BaseLoop::over_proactor("UringEventLoop", ring)))
    }

    fn base(&self) -> Option<PolicyHandle> {
        Some(self.base.clone())
    }
}

struct UringPlugin;

impl Plugin for UringPlugin {
    fn new_policy(_name: &str, options: &Options, base: Option<PolicyHandle>) -> Result<PolicyHandle, Error> {
        let base = base.ok_or_else(|| Error::invalid_argument("the policy uring needs a base"))?;
        let settings = Settings::new(options)?;
        let features = availability::try_out(&settings)?;
        // Where others replace it, and where it is attached and closed.
        base.set_child_watcher(Some(WatcherHandle::new(UringChildWatcher::default())))?;
        Ok(PolicyHandle::new(UringPolicy { base, settings, features }))
    }

    fn new_watcher(
        _name: &str,
        _options: &Options,
        _base: Option<WatcherHandle>,
    ) -> Result<WatcherHandle, Error> {
        Ok(WatcherHandle::new(UringChildWatcher::default()))
    }
}

export_plugin! {
    plugin: UringPlugin,
    name: "uring",
    summary: "event loops on io_uring, and a child watcher for them",
    offers: [
        policy "uring" {
            summary: "the default policy with loops on io_uring (Linux 5.11)",
            options: {
                "entries": "how many submissions the ring holds, 1 to 32768 (default 256)",
                "sqpoll": "a kernel thread takes them, and sleeps after so many idle milliseconds (default off)",
                "single-issuer": "yes: each loop, operations too, stays in the thread of its first run: faster (default no)",
                "wait": "how wait-process operations, and so its child watcher, wait: poll or waitid (default poll)",
            },
        },
        watcher "uring" {
            summary: "each child is a wait-process operation, on any loop that has it",
            options: {},
        },
    ],
}
