//! Watchers that scan on the thread of one loop, the one that they are attached to.

use std::{
    fmt, mem,
    sync::{
        Arc, Mutex, Weak,
        atomic::{
            AtomicBool,
            Ordering::{AcqRel, Relaxed},
        },
    },
};

use super::sigchld::{News, Sigchld};
use crate::{Callback, Error, ErrorCode, LoopHandle, process::lock, sys::per_process::PerProcess};

/// What such a watcher does when it is told to look.
pub(super) trait Scan: Send + Sync + Sized + 'static {
    /// The watcher's name, for messages.
    const NAME: &str;

    /// One with no children; in a forked child, of the same kind as the parent's.
    fn new(parents: Option<&Self>) -> Self;

    /// Reports the children that have exited: on the loop's thread, or on any once it is closed. What handlers fail with
    /// goes to `failed`, and the scan goes on.
    fn scan(&self, news: News, failed: &dyn Fn(Error));

    /// How many children are being watched.
    fn pending(&self) -> usize;
}

/// A scanner and the loop it is attached to.
///
/// SIGCHLD comes from the broker and not from the loop's own signal handlers, of which there is one for each signal and
/// which may be the program's. So attaching works on every thread, and there is no state in between. In a forked child it
/// is attached to nothing.
pub(super) struct LoopBound<S> {
    inner: PerProcess<Arc<Inner<S>>>,
}

struct Inner<S> {
    scanner: S,
    attachment: Mutex<Option<Arc<Attachment>>>,
}

struct Attachment {
    event_loop: LoopHandle,
    /// Whether a scan waits for its turn on the loop.
    is_queued: AtomicBool,
    /// Whether a pulse has come since the last scan.
    pulse: AtomicBool,
    _sigchld: Sigchld,
}

impl<S: Scan> LoopBound<S> {
    pub(super) fn new() -> Self {
        let inner = PerProcess::new(|parents: Option<&Arc<Inner<S>>>| {
            let scanner = S::new(parents.map(|parents| &parents.scanner));
            Arc::new(Inner { scanner, attachment: Mutex::new(None) })
        });
        Self { inner }
    }

    pub(super) fn scanner(&self) -> &S {
        &self.inner.get().scanner
    }

    /// Attaches to a loop and scans at once there, or detaches. If it fails everything is as before.
    pub(super) fn attach(&self, event_loop: Option<LoopHandle>) -> Result<(), Error> {
        let attachment = event_loop.map(|event_loop| self.attachment(event_loop)).transpose()?;
        let is_attached = attachment.is_some();
        let before = mem::replace(&mut *lock(&self.inner.get().attachment), attachment);
        let pending = self.scanner().pending();
        if is_attached {
            // The children come along, and may have exited while there was no loop.
            self.look(News::Pulse);
        } else if before.is_some() && pending > 0 {
            tracing::warn!(
                "{} was detached from its loop with {pending} child handlers: their children are reported when it is \
                 attached again",
                S::NAME
            );
        }
        // Ends a subscription, which may have to wait for its callback.
        drop(before);
        Ok(())
    }

    /// Detaches without a word.
    pub(super) fn detach(&self) {
        let before = lock(&self.inner.get().attachment).take();
        drop(before);
    }

    /// Whether exits are noticed now: attached to a loop that runs.
    pub(super) fn is_active(&self) -> bool {
        self.inner.get().attachment().is_some_and(|attachment| attachment.event_loop.is_running())
    }

    /// Refuses what would never be noticed.
    pub(super) fn check_attached(&self) -> Result<(), Error> {
        let why = match self.inner.get().attachment() {
            None => "no event loop".to_owned(),
            Some(attachment) if attachment.event_loop.is_closed() => {
                format!("loop {}, which is closed", attachment.event_loop.name())
            }
            Some(_) => return Ok(()),
        };
        Err(Error::new(
            ErrorCode::INACTIVE,
            format!("{} is attached to {why}: attach_loop the one that is to run", S::NAME),
        ))
    }

    /// Has the loop scan, soon.
    pub(super) fn look(&self, news: News) {
        self.inner.get().look(news);
    }

    fn attachment(&self, event_loop: LoopHandle) -> Result<Arc<Attachment>, Error> {
        if event_loop.is_closed() {
            let message =
                format!("{} cannot be attached to loop {}: it is closed", S::NAME, event_loop.name());
            return Err(Error::new(ErrorCode::LOOP_CLOSED, message));
        }
        let inner = Arc::downgrade(self.inner.get());
        let sigchld = Sigchld::subscribe(move |news| {
            if let Some(inner) = inner.upgrade() {
                inner.look(news);
            }
        })?;
        Ok(Arc::new(Attachment {
            event_loop,
            is_queued: AtomicBool::new(false),
            pulse: AtomicBool::new(false),
            _sigchld: sigchld,
        }))
    }
}

impl<S: Scan> Inner<S> {
    fn attachment(&self) -> Option<Arc<Attachment>> {
        lock(&self.attachment).clone()
    }

    fn look(self: &Arc<Self>, news: News) {
        let Some(attachment) = self.attachment() else { return };
        attachment.pulse.fetch_or(news == News::Pulse, Relaxed);
        if attachment.is_queued.swap(true, AcqRel) {
            return;
        }
        let turn = Turn { inner: Arc::downgrade(self), attachment: Arc::downgrade(&attachment) };
        let callback = Callback::new(move |_| {
            drop(turn);
            Ok(())
        });
        // An error means that the loop takes nothing any more. Then the turn is over, and has come, already.
        let _ = attachment.event_loop.call_soon_threadsafe(callback);
    }

    fn scan(&self, attachment: &Arc<Attachment>) {
        // First, so that whoever comes while this scan is under way gets another one; and what those have done who came
        // before is seen here.
        attachment.is_queued.swap(false, AcqRel);
        let news = if attachment.pulse.swap(false, Relaxed) { News::Pulse } else { News::Signal };
        // Another loop has taken over, and has scanned.
        if !self.attachment().is_some_and(|current| Arc::ptr_eq(&current, attachment)) {
            return;
        }
        self.scanner.scan(news, &|error| attachment.failed(error));
    }
}

/// The turn of a scan on its loop. It scans when it is dropped: either its turn has come, or the loop was closed before,
/// and then no child must wait for it.
struct Turn<S: Scan> {
    inner: Weak<Inner<S>>,
    attachment: Weak<Attachment>,
}

impl<S: Scan> Drop for Turn<S> {
    fn drop(&mut self) {
        if let (Some(inner), Some(attachment)) = (self.inner.upgrade(), self.attachment.upgrade()) {
            inner.scan(&attachment);
        }
    }
}

impl Attachment {
    fn failed(&self, error: Error) {
        const MESSAGE: &str = "unknown exception in SIGCHLD handler";
        let told = self.event_loop.call_exception_handler(MESSAGE, Some(error.clone()), Vec::new());
        if told.is_err() {
            tracing::error!("{MESSAGE}: {error}");
        }
    }
}

impl<S: Scan> fmt::Debug for LoopBound<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attached = self.inner.get().attachment().map(|attachment| attachment.event_loop.name());
        f.debug_struct(S::NAME)
            .field("attached", &attached)
            .field("pending", &self.scanner().pending())
            .finish()
    }
}
