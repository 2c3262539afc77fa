//! What sits in a loop's cell.

use std::{collections::VecDeque, time::Duration};

use loophost_plugin_api::{Callback, HandleId, RepeatCallback};

use crate::{
    held::Held,
    id::{Id, Kind},
    inbox::Inbox,
    ready_queue::{Entry, ReadyQueue},
    selector::{Ready, Trigger},
    signals::Signals,
    timers::Timers,
    watches::{Change, Watches},
};

pub(crate) struct State<S> {
    /// Away while a method of the selector runs.
    pub(crate) selector: Option<Box<S>>,
    pub(crate) ready: ReadyQueue,
    pub(crate) timers: Timers,
    pub(crate) watches: Watches,
    pub(crate) signals: Signals,
    pub(crate) exception_handler: Held,
    pub(crate) closed: bool,
    /// Emptied inbox queues, to be filled again without an allocation.
    spare: VecDeque<Entry>,
}

/// What a closed loop leaves: dropped when nothing is borrowed any more.
pub(crate) struct Remains<S> {
    #[expect(dead_code, reason = "held to be dropped")]
    pub(crate) selector: Option<Box<S>>,
    pub(crate) ready: ReadyQueue,
    pub(crate) timers: Vec<Callback>,
    pub(crate) watches: Vec<RepeatCallback>,
    #[expect(dead_code, reason = "held to be dropped")]
    pub(crate) handlers: Vec<RepeatCallback>,
    pub(crate) subscriptions: Vec<HandleId>,
}

impl<S> State<S> {
    pub(crate) fn new(selector: S, stream_trigger: Trigger) -> Self {
        Self {
            selector: Some(Box::new(selector)),
            ready: ReadyQueue::default(),
            timers: Timers::default(),
            watches: Watches::new(stream_trigger),
            signals: Signals::default(),
            exception_handler: Held::default(),
            closed: false,
            spare: VecDeque::new(),
        }
    }

    /// How long the next select may wait at the most: `limit`, or less if something is due earlier.
    pub(crate) fn timeout(&mut self, now: impl FnOnce() -> u64, limit: Option<Duration>) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let Some(deadline) = self.timers.next_deadline() else { return limit };
        let until = Duration::from_nanos(deadline.saturating_sub(now()));
        Some(limit.map_or(until, |limit| limit.min(until)))
    }

    /// Queues everything that has become due; what the selector must be told goes to `changes`.
    pub(crate) fn collect(
        &mut self,
        events: &mut Vec<Ready>,
        inbox: &Inbox,
        now: impl FnOnce() -> u64,
        changes: &mut Vec<Change>,
    ) {
        self.take_in(inbox);
        for event in events.drain(..) {
            let change = self.watches.on_ready(event, &mut self.ready);
            if change != Change::Nothing {
                changes.push(change);
            }
        }
        if self.timers.next_deadline().is_some() {
            self.timers.collect_due(now(), &mut self.ready);
        }
    }

    /// Queues what has been given through the inbox until now.
    #[inline]
    pub(crate) fn take_in(&mut self, inbox: &Inbox) {
        if inbox.has_entries() {
            inbox.drain(&mut self.spare, &mut self.ready);
        }
    }

    /// The next entry to run.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Entry> {
        let entry = self.ready.pop()?;
        if entry.id.kind() == Kind::Timer {
            self.timers.ran(entry.id.slot());
        }
        Some(entry)
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
    pub(crate) fn take_all(&mut self) -> Remains<S> {
        self.closed = true;
        let (mut handlers, subscriptions) = self.signals.clear();
        handlers.extend(self.exception_handler.clear());
        Remains {
            selector: self.selector.take(),
            ready: std::mem::take(&mut self.ready),
            timers: self.timers.clear(),
            watches: self.watches.clear(),
            handlers,
            subscriptions,
        }
    }
}
