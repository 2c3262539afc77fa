//! What a loop is around: a [`Selector`](crate::Selector) or a [`Proactor`](crate::Proactor), each with the half that it
//! does not have emulated.

use std::{io, sync::Arc, time::Duration};

use loophost_plugin_api::{Fd, Interest, OpCode};

use crate::{
    operation::Operation,
    proactor::Completion,
    selector::{Key, Ready, Trigger, Wake},
};

/// Waits for descriptors and carries out operations. Made by [`BaseLoop::new`](crate::BaseLoop::new) and
/// [`BaseLoop::over_proactor`](crate::BaseLoop::over_proactor).
///
/// Keys of descriptors and keys of operations are never equal.
pub trait Backend: Send + 'static {
    /// See [`Selector::waker`](crate::Selector::waker).
    fn waker(&self) -> Arc<dyn Wake>;

    /// See [`Selector::stream_trigger`](crate::Selector::stream_trigger).
    fn stream_trigger(&self) -> Trigger;

    /// See [`Selector::register`](crate::Selector::register).
    fn register(&mut self, fd: Fd, key: Key, interest: Interest, trigger: Trigger) -> io::Result<()>;

    /// See [`Selector::modify`](crate::Selector::modify).
    fn modify(&mut self, fd: Fd, key: Key, interest: Interest, trigger: Trigger) -> io::Result<()>;

    /// See [`Selector::unregister`](crate::Selector::unregister).
    fn unregister(&mut self, fd: Fd) -> io::Result<()>;

    /// Whether it has an operation; base-loop's own are not asked for.
    fn supports(&self, code: OpCode) -> bool;

    /// See [`Proactor::submit`](crate::Proactor::submit). `Unsupported` if it has no such operation on that descriptor.
    fn submit(&mut self, key: Key, operation: &Operation) -> io::Result<()>;

    /// See [`Proactor::cancel`](crate::Proactor::cancel).
    fn cancel(&mut self, key: Key) -> io::Result<()>;

    /// Waits until something has happened, the waker was used, or `timeout` has passed.
    ///
    /// # Errors
    /// `Interrupted` is tried again by the caller, with the time that is left.
    fn wait(&mut self, timeout: Option<Duration>, events: &mut Events) -> io::Result<()>;

    /// A descriptor that is readable when [`wait`](Self::wait) has something, after [`prepare`](Self::prepare).
    fn poll_handle(&self) -> Option<Fd>;

    /// Gets ready for somebody else to wait for [`poll_handle`](Self::poll_handle); false if there is something already.
    fn prepare(&mut self) -> io::Result<bool>;

    /// Cancels the operations of these keys and waits at most `patience` for their final completions; which of them did
    /// not come the caller sees.
    fn end(&mut self, keys: &[Key], patience: Duration, completions: &mut Vec<Completion>) -> io::Result<()>;

    /// Whether the loop belongs to the thread of its first run.
    fn is_thread_bound(&self) -> bool;
}

/// What a wait has found.
#[derive(Debug, Default)]
pub struct Events {
    pub(crate) ready: Vec<Ready>,
    pub(crate) completions: Vec<Completion>,
}

impl Events {
    pub(crate) fn append(&mut self, other: &mut Self) {
        self.ready.append(&mut other.ready);
        self.completions.append(&mut other.completions);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.completions.is_empty()
    }
}
