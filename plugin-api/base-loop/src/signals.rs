//! The signal handlers of one loop. The host's broker tells the inbox, the loop calls them in its own thread.

use std::{collections::HashMap, sync::Arc};

use loophost_plugin_api::{Error, Event, EventKind, HandleId, RepeatCallback, host};

use crate::{
    held::{Dropped, Held},
    id::{Id, Kind},
    inbox::Inbox,
    ready_queue::Entry,
};

const NUMBER_BITS: u32 = 8;
const SENDER_BITS: u32 = 32;
const FLAG_BITS: u32 = 20;

/// An event of a signal in an id: the number, the sender's pid, and the flags, of which higher ones than fit are not
/// passed on.
fn pack(event: &Event) -> Id {
    let number = event.result as u64 & mask(NUMBER_BITS);
    let sender = event.aux & mask(SENDER_BITS);
    let flags = u64::from(event.flags) & mask(FLAG_BITS);
    Id::new(Kind::Signal, (flags << SENDER_BITS | sender) << NUMBER_BITS | number)
}

const fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

/// The event that was packed.
pub(crate) fn unpack(id: Id) -> Event<'static> {
    let bits = id.number();
    let mut event = Event::with_result(EventKind::SIGNAL, (bits & mask(NUMBER_BITS)) as i64);
    event.aux = bits >> NUMBER_BITS & mask(SENDER_BITS);
    event.flags = (bits >> (NUMBER_BITS + SENDER_BITS)) as u32;
    event
}

#[derive(Default)]
pub(crate) struct Signals {
    handlers: HashMap<i32, Handler>,
}

struct Handler {
    callback: Held,
    subscription: HandleId,
}

/// Asks the broker to put the signal's events into the inbox. Foreign code: no borrow may be held.
pub(crate) fn subscribe(signum: i32, inbox: Arc<Inbox>) -> Result<HandleId, Error> {
    host::signal_subscribe(
        signum,
        RepeatCallback::new(move |event| {
            inbox.push_event(Entry::event(pack(event)));
            Ok(())
        }),
    )
}

impl Signals {
    /// Sets the handler of a signal that is subscribed already; gives the callback back if it is not.
    pub(crate) fn replace(
        &mut self,
        signum: i32,
        callback: RepeatCallback,
    ) -> Result<Dropped, RepeatCallback> {
        match self.handlers.get_mut(&signum) {
            Some(handler) => Ok(handler.callback.set(callback)),
            None => Err(callback),
        }
    }

    /// Sets the handler of a signal that has just been subscribed.
    pub(crate) fn insert(&mut self, signum: i32, callback: RepeatCallback, subscription: HandleId) {
        self.handlers.insert(signum, Handler { callback: Held::new(callback), subscription });
    }

    pub(crate) fn remove(&mut self, signum: i32) -> Option<(Dropped, HandleId)> {
        let mut handler = self.handlers.remove(&signum)?;
        Some((handler.callback.clear(), handler.subscription))
    }

    pub(crate) fn take(&mut self, signum: i32) -> Option<(RepeatCallback, u32)> {
        self.handlers.get_mut(&signum)?.callback.take()
    }

    #[must_use]
    pub(crate) fn put_back(&mut self, signum: i32, callback: RepeatCallback, number: u32) -> Dropped {
        match self.handlers.get_mut(&signum) {
            Some(handler) => handler.callback.put_back(callback, number),
            None => Some(callback),
        }
    }

    /// Everything that is left: callbacks to be dropped, subscriptions to be ended.
    pub(crate) fn clear(&mut self) -> (Vec<RepeatCallback>, Vec<HandleId>) {
        let handlers = std::mem::take(&mut self.handlers).into_values();
        let (dropped, subscriptions): (Vec<_>, _) =
            handlers.map(|mut handler| (handler.callback.clear(), handler.subscription)).unzip();
        (dropped.into_iter().flatten().collect(), subscriptions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_survives_the_packing() {
        let mut event = Event::with_result(EventKind::SIGNAL, 64);
        (event.flags, event.aux) = (1 << 19 | Event::FROM_KERNEL, u32::MAX.into());
        let back = unpack(pack(&event));
        assert_eq!((back.result, back.flags, back.aux), (64, event.flags, event.aux));
    }
}
