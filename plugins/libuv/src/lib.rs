//! The policy `libuv`: the default policy, with libuv's event loop, as uvloop is for asyncio.
//!
//! libuv is not linked: it is opened when the policy is made, so this builds and is inspected without it. The loop is
//! written against loophost's plugin API alone, with libuv where other loops have `loophost-base-loop`.
//!
//! # What libuv does, and what it does not
//! It waits, wakes and watches descriptors (`uv_async`, `uv_poll`). The order of a turn is asyncio's: what libuv finds
//! is noted, and run in its check phase, after what was given before and before the timers that are due. libuv's
//! timers count milliseconds and know no order within one, so they only end the wait; deadlines are kept here.
//!
//! `uv_signal` and `uv_spawn` are never used: signals come from the host, which also has the children. So, unlike
//! uvloop, which refuses child watchers because libuv reaps by itself, this policy takes every one.

#![deny(unsafe_code)]

mod calls;
mod event_loop;
mod id;
mod inbox;
mod repeated;
mod report;
mod signals;
mod state;
#[allow(unsafe_code, reason = "the door to libuv")]
mod sys;
mod table;
mod turn;
mod watches;

use std::sync::Arc;

use loophost_plugin_api::{Error, LoopHandle, Options, Plugin, Policy, PolicyHandle, export_plugin};

use event_loop::UvEventLoop;
use sys::Library;

struct UvPolicy {
    base: PolicyHandle,
    library: Arc<Library>,
}

impl Policy for UvPolicy {
    fn new_event_loop(&self, _this: &PolicyHandle) -> Result<LoopHandle, Error> {
        let event_loop = UvEventLoop::new(self.library.clone())
            .map_err(|error| Error::os(&error, "making a loop of libuv"))?;
        Ok(LoopHandle::new(event_loop))
    }

    fn base(&self) -> Option<PolicyHandle> {
        Some(self.base.clone())
    }
}

struct UvPlugin;

impl Plugin for UvPlugin {
    fn new_policy(_name: &str, options: &Options, base: Option<PolicyHandle>) -> Result<PolicyHandle, Error> {
        let base = base.ok_or_else(|| Error::invalid_argument("the policy libuv needs a base"))?;
        let library = Arc::new(Library::open(options.get("library"))?);
        Ok(PolicyHandle::new(UvPolicy { base, library }))
    }
}

export_plugin! {
    plugin: UvPlugin,
    name: "libuv",
    summary: "libuv's event loop; needs libuv 1.41 or newer",
    offers: [
        policy "libuv" {
            summary: "the default policy with libuv's event loop",
            options: { "library": "the file of libuv, or a name for the system's loader (default libuv.so.1)" },
        },
    ],
}
