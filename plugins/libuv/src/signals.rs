//! The signal handlers of a loop. The host's broker tells the inbox, the loop calls them in its own thread.

use std::{collections::HashMap, sync::Arc};

use loophost_plugin_api::{Error, Event, EventKind, HandleId, RepeatCallback, host};

use crate::{calls::Due, inbox::Inbox, repeated::Repeated};

/// A signal's event on its way to the loop's thread. (An [`Event`] lends, so it does not travel.)
pub(crate) struct Arrived {
    signum: i64,
    flags: u32,
    sender: u64,
}

impl Arrived {
    pub(crate) fn event(&self) -> Event<'static> {
        let mut event = Event::with_result(EventKind::SIGNAL, self.signum);
        (event.flags, event.aux) = (self.flags, self.sender);
        event
    }
}

#[derive(Default)]
pub(crate) struct Signals {
    handlers: HashMap<i32, Handler>,
}

/// A handler, and what the host calls its subscription.
pub(crate) struct Handler {
    pub(crate) callback: Repeated,
    pub(crate) subscription: HandleId,
}

/// Asks the host for a signal. Foreign code: nothing may be borrowed.
pub(crate) fn subscribe(signum: i32, inbox: Arc<Inbox>) -> Result<HandleId, Error> {
    host::signal_subscribe(
        signum,
        RepeatCallback::new(move |event| {
            inbox.push(Due::Signal(Arrived { signum: event.result, flags: event.flags, sender: event.aux }));
            Ok(())
        }),
    )
}

impl Signals {
    /// Replaces the handler of a signal; the old one is returned to be dropped, `None` if there was none.
    pub(crate) fn replace(&mut self, signum: i32, callback: Repeated) -> Option<Repeated> {
        let handler = self.handlers.get_mut(&signum)?;
        Some(std::mem::replace(&mut handler.callback, callback))
    }

    /// Sets the handler of a signal that had none.
    pub(crate) fn insert(&mut self, signum: i32, callback: Repeated, subscription: HandleId) {
        self.handlers.insert(signum, Handler { callback, subscription });
    }

    pub(crate) fn remove(&mut self, signum: i32) -> Option<Handler> {
        self.handlers.remove(&signum)
    }

    /// The handler that is to be called.
    pub(crate) fn handler(&self, arrived: &Arrived) -> Option<Repeated> {
        self.handlers.get(&i32::try_from(arrived.signum).ok()?).map(|handler| handler.callback.clone())
    }

    /// All handlers.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Handler> {
        self.handlers.values()
    }
}
