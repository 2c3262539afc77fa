//! What sits in a loop's cell, beside the handles of libuv.

use std::{collections::VecDeque, time::Duration};

use crate::{
    calls::{Calls, Due},
    inbox::Inbox,
    repeated::Repeated,
    signals::Signals,
    watches::Watches,
};

/// The longest wait, against overflow in libuv's times (asyncio: `MAXIMUM_SELECT_TIMEOUT`).
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

#[derive(Default)]
pub(crate) struct State {
    pub(crate) calls: Calls,
    pub(crate) watches: Watches,
    /// What libuv has found ready in this wait.
    pub(crate) noted: VecDeque<Due>,
    pub(crate) signals: Signals,
    pub(crate) exception_handler: Option<Repeated>,
    /// When the turn that is under way must end, on the loop's clock.
    pub(crate) turn_ends: Option<u64>,
}

impl State {
    /// How long the next wait may be at the most.
    pub(crate) fn wait(&self, inbox: &Inbox, now: impl FnOnce() -> u64) -> Option<Duration> {
        if !self.calls.ready.is_empty() || inbox.has_work() {
            return Some(Duration::ZERO);
        }
        let deadline = self.calls.next_deadline().into_iter().chain(self.turn_ends).min()?;
        Some(Duration::from_nanos(deadline.saturating_sub(now())).min(LONGEST_WAIT))
    }

    /// Queues everything that has become due: what was given, then what is ready, then timers.
    pub(crate) fn collect(&mut self, inbox: &Inbox, now: impl FnOnce() -> u64) {
        inbox.drain(&mut self.calls.ready);
        self.calls.ready.append(&mut self.noted);
        if self.calls.next_deadline().is_some() {
            self.calls.collect_due(now());
        }
    }
}
