//! What sits in a loop's cell.

use std::{collections::VecDeque, time::Duration};

use loophost_plugin_api::{Callback, HandleId, RepeatCallback};

use crate::{
    backend::Events,
    held::Held,
    id::{Id, Kind},
    inbox::Inbox,
    operations::Operations,
    ready_queue::{Entry, ReadyQueue},
    selector::Trigger,
    signals::Signals,
    timers::Timers,
    watches::{Change, Watches},
};

pub(crate) struct State<B> {
    /// Away while one of its methods runs.
    pub(crate) backend: Option<Box<B>>,
    pub(crate) ready: ReadyQueue,
    pub(crate) timers: Timers,
    pub(crate) watches: Watches,
    pub(crate) operations: Operations,
    pub(crate) signals: Signals,
    pub(crate) exception_handler: Held,
    pub(crate) closed: bool,
    /// Emptied inbox queues, to be filled again without an allocation.
    spare: VecDeque<Entry>,
}

/// What a closed loop leaves: dropped when nothing is borrowed any more.
pub(crate) struct Remains<B> {
    pub(crate) backend: Option<Box<B>>,
    pub(crate) ready: ReadyQueue,
    pub(crate) timers: Vec<Callback>,
    pub(crate) watches: Vec<RepeatCallback>,
    pub(crate) operations: Operations,
    #[expect(dead_code, reason = "held to be dropped")]
    pub(crate) handlers: Vec<RepeatCallback>,
    pub(crate) subscriptions: Vec<HandleId>,
}

impl<B> State<B> {
    pub(crate) fn new(backend: B, stream_trigger: Trigger) -> Self {
        Self {
            backend: Some(Box::new(backend)),
            ready: ReadyQueue::default(),
            timers: Timers::default(),
            watches: Watches::new(stream_trigger),
            operations: Operations::default(),
            signals: Signals::default(),
            exception_handler: Held::default(),
            closed: false,
            spare: VecDeque::new(),
        }
    }

    /// When something is due at the latest, on the loop's clock.
    pub(crate) fn next_deadline(&mut self) -> Option<u64> {
        match (self.timers.next_deadline(), self.operations.next_deadline()) {
            (Some(timer), Some(operation)) => Some(timer.min(operation)),
            (timer, operation) => timer.or(operation),
        }
    }

    /// How long the next wait may take at the most: `limit`, or less if something is due earlier.
    pub(crate) fn timeout(&mut self, now: impl FnOnce() -> u64, limit: Option<Duration>) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let Some(deadline) = self.next_deadline() else { return limit };
        let until = Duration::from_nanos(deadline.saturating_sub(now()));
        Some(limit.map_or(until, |limit| limit.min(until)))
    }

    /// Queues everything that has become due; what the backend must be told goes to `changes`.
    pub(crate) fn collect(
        &mut self,
        events: &mut Events,
        inbox: &Inbox,
        now: impl FnOnce() -> u64,
        changes: &mut Vec<Change>,
    ) {
        self.take_in(inbox);
        for event in events.ready.drain(..) {
            let change = self.watches.on_ready(event, &mut self.ready);
            if change != Change::Nothing {
                changes.push(change);
            }
        }
        for completion in events.completions.drain(..) {
            self.operations.complete(completion, &mut self.ready);
        }
        if self.next_deadline().is_some() {
            let now = now();
            self.timers.collect_due(now, &mut self.ready);
            self.operations.collect_due(now, &mut self.ready);
        }
    }

    /// Queues what has been given through the inbox until now.
    #[inline]
    pub(crate) fn take_in(&mut self, inbox: &Inbox) {
        if inbox.has_entries() {
            inbox.drain(&mut self.spare, &mut self.ready);
        }
    }

    /// Cancels what an id names; returns the callback to be dropped.
    pub(crate) fn cancel(&mut self, id: Id, inbox: &Inbox) -> Option<Callback> {
        match id.kind() {
            Kind::Soon => self.ready.cancel_at(id.number(), id),
            Kind::Inbox => inbox.cancel(id).or_else(|| self.ready.cancel_inbox(id)),
            Kind::Timer => self.timers.cancel(id, &mut self.ready),
            _ => None,
        }
    }

    /// Takes everything out, for `close`.
    pub(crate) fn take_all(&mut self) -> Remains<B> {
        self.closed = true;
        let (mut handlers, subscriptions) = self.signals.clear();
        handlers.extend(self.exception_handler.clear());
        Remains {
            backend: self.backend.take(),
            ready: std::mem::take(&mut self.ready),
            timers: self.timers.clear(),
            watches: self.watches.clear(),
            operations: std::mem::take(&mut self.operations),
            handlers,
            subscriptions,
        }
    }
}
