//! A custom policy, as asyncio's documentation suggests: subclass the default and override one method.
//!
//! `limited` makes at most `max` event loops. Everything else is the default policy's, through `base`.
//!
//! ```text
//! loophost run --policy limited-policy --policy-opt max=1 -- redis-server
//! ```

#![deny(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use loophost_plugin_api::{
    Error, ErrorCode, LoopHandle, Options, Plugin, Policy, PolicyHandle, export_plugin,
};

const DEFAULT_MAX: usize = 4;

struct LimitedPolicy {
    base: PolicyHandle,
    max: usize,
    made: AtomicUsize,
}

impl Policy for LimitedPolicy {
    fn base(&self) -> Option<PolicyHandle> {
        Some(self.base.clone())
    }

    fn new_event_loop(&self, this: &PolicyHandle) -> Result<LoopHandle, Error> {
        let one_more = |made: usize| (made < self.max).then_some(made + 1);
        let before = self.made.fetch_update(Relaxed, Relaxed, one_more).map_err(|made| {
            Error::new(
                ErrorCode::plugin(1),
                format!("{made} event loops were made: max={} allows no more", self.max),
            )
        })?;
        tracing::info!(made = before + 1, max = self.max, "making an event loop");
        // super().new_event_loop()
        self.base.new_event_loop_as(this).inspect_err(|_| {
            self.made.fetch_sub(1, Relaxed);
        })
    }
}

struct LimitedPlugin;

impl Plugin for LimitedPlugin {
    fn new_policy(_name: &str, options: &Options, base: Option<PolicyHandle>) -> Result<PolicyHandle, Error> {
        let base = base.ok_or_else(|| Error::invalid_argument("the policy limited needs a base"))?;
        let max = options.parse("max")?.unwrap_or(DEFAULT_MAX);
        Ok(PolicyHandle::new(LimitedPolicy { base, max, made: AtomicUsize::new(0) }))
    }
}

export_plugin! {
    plugin: LimitedPlugin,
    name: "limited-policy",
    summary: "an example: the default policy with a limit on the number of loops",
    offers: [
        policy "limited" {
            summary: "the default policy, which makes at most max loops",
            options: { "max": "how many loops may be made (default 4)" },
        },
    ],
}

#[cfg(test)]
mod tests {
    use loophost::testing::HostHarness;
    use loophost_testkit::{Outcome, Subject, cases};

    use super::*;

    /// The conformance suite, as `loophost plugin check` runs it on the file. One test: the cases share the process.
    #[test]
    fn it_conforms() {
        let harness = HostHarness::new();
        let make = || LimitedPlugin::new_policy("limited", &Options::new(), Some(harness.default_policy()));
        let subject = Subject::Policy(&make);
        for case in cases().filter(|case| case.suits(&subject)) {
            if let Outcome::Failed(message) = case.run(&harness, &subject) {
                panic!("{} ({}): {message}", case.name(), case.meaning());
            }
        }
    }
}
