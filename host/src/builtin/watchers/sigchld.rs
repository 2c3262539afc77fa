//! News of SIGCHLD from the host's one broker, for the watchers that scan.

use crate::{Error, HandleId, RepeatCallback, signal};

/// A subscription, which ends when this is dropped; then its callback is not running, unless it is the one that drops
/// it.
#[derive(Debug)]
pub(super) struct Sigchld(HandleId);

/// Why a watcher is told to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Some child has exited, perhaps several.
    Signal,
    /// A second has passed. Other code may have taken the signal away, or a status.
    Pulse,
}

impl Sigchld {
    /// Calls `tell` on the broker's thread. From then on the kernel keeps the statuses of children, also if SIGCHLD was
    /// ignored before.
    pub(super) fn subscribe(tell: impl Fn(News) + Send + 'static) -> Result<Self, Error> {
        let callback = RepeatCallback::new(move |event| {
            tell(if event.flags & signal::PULSE != 0 { News::Pulse } else { News::Signal });
            Ok(())
        });
        signal::subscribe_with_pulse(libc::SIGCHLD, callback).map(Self)
    }

    /// Before a spawn: sees to it that the exit of the child will be noticed at once, whatever other code has done to
    /// the signal.
    pub(super) fn verify() -> Result<(), Error> {
        signal::verify(libc::SIGCHLD)
    }
}

impl Drop for Sigchld {
    fn drop(&mut self) {
        if let Err(error) = signal::unsubscribe(self.0) {
            tracing::error!("ending a watcher's subscription to SIGCHLD: {error}");
        }
    }
}
