//! A callback that is called often.

use std::sync::{
    Arc, Mutex,
    TryLockError::{Poisoned, WouldBlock},
};

use loophost_plugin_api::{CallbackName, Error, ErrorCode, Event, RepeatCallback};

/// A shared [`RepeatCallback`]: whoever calls it has a share, so that it is not dropped while it runs, whatever it
/// does to the loop's.
#[derive(Clone)]
pub(crate) struct Repeated(Arc<Inner>);

struct Inner {
    name: CallbackName,
    callback: Mutex<RepeatCallback>,
}

impl Repeated {
    pub(crate) fn new(callback: RepeatCallback) -> Self {
        Self(Arc::new(Inner { name: callback.name(), callback: Mutex::new(callback) }))
    }

    pub(crate) fn name(&self) -> CallbackName {
        self.0.name
    }

    /// Calls it; only the loop's own thread does.
    ///
    /// # Errors
    /// The callback's, or `Reentered` from inside itself.
    pub(crate) fn call(&self, event: &Event) -> Result<(), Error> {
        match self.0.callback.try_lock() {
            Ok(mut callback) => callback.call(event),
            // Callbacks return their panics, so this cannot be; and it would be whole.
            Err(Poisoned(poisoned)) => poisoned.into_inner().call(event),
            Err(WouldBlock) => Err(Error::new(
                ErrorCode::REENTERED,
                format!("{} was called from inside itself", self.0.name),
            )),
        }
    }
}
