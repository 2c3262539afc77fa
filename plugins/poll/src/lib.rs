//! The policy `poll`: the default policy, with loops on poll(2).
//!
//! For sandboxes that forbid epoll. A turn costs time for every descriptor that is watched, so it is not for
//! thousands of them.

#![deny(unsafe_code)]

mod poll_selector;
#[allow(unsafe_code, reason = "the door to the operating system")]
mod sys;

use loophost_base_loop::BaseLoop;
use loophost_plugin_api::{Error, LoopHandle, Options, Plugin, Policy, PolicyHandle, export_plugin};

use poll_selector::PollSelector;

struct PollPolicy {
    base: PolicyHandle,
}

impl Policy for PollPolicy {
    fn new_event_loop(&self, _this: &PolicyHandle) -> Result<LoopHandle, Error> {
        let selector =
            PollSelector::new().map_err(|error| Error::os(&error, "making a selector on poll(2)"))?;
        Ok(LoopHandle::new(BaseLoop::new("PollEventLoop", selector)))
    }

    fn base(&self) -> Option<PolicyHandle> {
        Some(self.base.clone())
    }
}

struct PollPlugin;

impl Plugin for PollPlugin {
    fn new_policy(
        _name: &str,
        _options: &Options,
        base: Option<PolicyHandle>,
    ) -> Result<PolicyHandle, Error> {
        let base = base.ok_or_else(|| Error::invalid_argument("the policy poll needs a base"))?;
        Ok(PolicyHandle::new(PollPolicy { base }))
    }
}

export_plugin! {
    plugin: PollPlugin,
    name: "poll",
    summary: "event loops on poll(2), for sandboxes without epoll",
    offers: [
        policy "poll" {
            summary: "the default policy with loops on poll(2)",
            options: {},
        },
    ],
}
