//! The signal handlers of one loop. The host's broker tells the inbox, the loop calls them in its own thread.

use std::{collections::HashMap, sync::Arc};

use loophost_plugin_api::{Error, Event, EventKind, HandleId, RepeatCallback, host};

use crate::{
    held::{Dropped, Held},
    id::{Id, Kind},
    inbox::Inbox,
    ready_queue::Entry,
};

/// An event of a signal in an id: the number in 8 bits, flags in 8 bits, the sender's pid in 32.
fn pack(event: &Event) -> Id {
    let number = event.result as u64 & 0xff;
    let flags = u64::from(event.flags & 0xff);
    let sender = event.aux & u64::from(u32::MAX);
    Id::new(Kind::Signal, sender << 16 | flags << 8 | number)
}

/// The event that was packed.
pub(crate) fn unpack(id: Id) -> Event<'static> {
    let bits = id.number();
    let mut event = Event::with_result(EventKind::SIGNAL, (bits & 0xff) as i64);
    event.flags = (bits >> 8 & 0xff) as u32;
    event.aux = bits >> 16;
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
        (event.flags, event.aux) = (1, 4_194_304);
        let back = unpack(pack(&event));
        assert_eq!((back.result, back.flags, back.aux), (64, 1, 4_194_304));
    }
}
