//! The built-in loop, compiled into a plugin from the very same source: whatever differs between the two is the cost
//! of the boundary.
//!
//! Its allocator counts, and says so through the extension `loophost.allocations/1`.

mod allocations;
#[path = "../../../src/builtin/loops/selector.rs"]
mod selector;
mod sys;

use std::{ffi::c_void, ptr};

use loophost_base_loop::BaseLoop;
use loophost_plugin_api::{
    Error, Fd, Interest, LoopHandle, Options, Plugin, Policy, PolicyHandle, export_plugin,
};

use selector::MioSelector;

struct SelectorPolicy {
    base: PolicyHandle,
}

impl Policy for SelectorPolicy {
    fn new_event_loop(&self, _this: &PolicyHandle) -> Result<LoopHandle, Error> {
        let selector = MioSelector::new().map_err(|error| Error::os(&error, "making a selector"))?;
        Ok(LoopHandle::new(BaseLoop::new("SelectorEventLoop of a plugin", selector)))
    }

    fn base(&self) -> Option<PolicyHandle> {
        Some(self.base.clone())
    }
}

struct SelectorPlugin;

impl Plugin for SelectorPlugin {
    fn new_policy(
        _name: &str,
        _options: &Options,
        base: Option<PolicyHandle>,
    ) -> Result<PolicyHandle, Error> {
        let base = base.ok_or_else(|| Error::invalid_argument("the policy selector needs a base"))?;
        Ok(PolicyHandle::new(SelectorPolicy { base }))
    }

    fn extension(id: &str) -> *const c_void {
        match id {
            "loophost.allocations/1" => ptr::from_ref(&allocations::COUNT).cast(),
            _ => ptr::null(),
        }
    }
}

export_plugin! {
    plugin: SelectorPlugin,
    name: "selector-policy",
    summary: "the built-in loop as a plugin, for measurements",
    offers: [
        policy "selector" {
            summary: "the default policy with the built-in loop compiled into a plugin",
            options: {},
        },
    ],
}
