//! What a backend brings: a way to wait until descriptors are ready.

use std::{io, sync::Arc, time::Duration};

use loophost_plugin_api::{Fd, Interest};

/// Waits for descriptors (asyncio: `selectors.BaseSelector`): epoll, poll, kqueue, select.
///
/// All methods are called by one thread at a time, and never while one of them runs.
pub trait Selector: Send + 'static {
    /// What makes a [`select`](Self::select) under way return, or the next one if none is. Asked for once.
    fn waker(&self) -> Arc<dyn Wake>;

    /// How streams are watched: [`Trigger::Edge`] if this selector has it, else [`Trigger::Level`]; with edges asking for the next event costs
    /// no system call.
    fn stream_trigger(&self) -> Trigger;

    /// Begins to watch `fd`, which is not watched yet. Events carry `key`. The trigger is [`Trigger::Level`], or that of
    /// [`stream_trigger`](Self::stream_trigger).
    fn register(&mut self, fd: Fd, key: Key, interest: Interest, trigger: Trigger) -> io::Result<()>;

    /// Changes what `fd` is watched for; nothing at all is possible.
    fn modify(&mut self, fd: Fd, key: Key, interest: Interest, trigger: Trigger) -> io::Result<()>;

    /// Ends watching `fd`.
    fn unregister(&mut self, fd: Fd) -> io::Result<()>;

    /// Waits until something is ready, the waker was used, or `timeout` has passed (`None`: no limit; rounded up
    /// to what the system can do, so that a timer is not met too early), and adds what is ready. An end-of-file, a
    /// hang-up or an error counts as ready for both directions.
    ///
    /// # Errors
    /// `Interrupted` is tried again by the caller, with the time that is left.
    fn select(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()>;

    /// A descriptor that is readable when [`select`](Self::select) would not wait: with one, the loop can be run inside
    /// another.
    fn poll_handle(&self) -> Option<Fd> {
        None
    }
}

/// Wakes a selector from any thread.
pub trait Wake: Send + Sync {
    /// Makes `select` return.
    fn wake(&self) -> io::Result<()>;
}

/// What base-loop calls a registration or an operation; a key is not used again when its descriptor's number is. It is
/// less than 2⁶²: the rest is for the backend's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(pub u64);

impl Key {
    /// In the keys of what an emulation registers or submits: no id has that bit.
    pub(crate) const EMULATED: u64 = 1 << 61;

    /// Of the key of an operation that a [`Proactor`](crate::Proactor) is given: whether that is a POLL for a reader, a
    /// writer or a stream, and not one that somebody has submitted.
    pub fn is_of_watch(self) -> bool {
        self.0 & Self::EMULATED != 0
    }
}

/// When an event comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// In every select while the descriptor is ready.
    Level,
    /// When it becomes ready, and once if it is when it is registered.
    Edge,
    /// Once; then it is silent until it is modified. What a [`Proactor`](crate::Proactor) has whose polls tell no edges.
    Once,
}

/// A descriptor that is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// What it was registered with.
    pub key: Key,
    /// The directions that do not block.
    pub interest: Interest,
    /// Whether the other end is gone or there is an error, which with [`Trigger::Edge`] may have come together with data:
    /// then reading is told once more. With the other triggers it does not matter.
    pub read_closed: bool,
}
