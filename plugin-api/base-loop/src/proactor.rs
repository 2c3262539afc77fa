//! What a completion backend brings: operations that the system carries out.

use std::{io, sync::Arc, time::Duration};

use loophost_plugin_api::{Fd, Interest, OpCode};

use crate::{operation::Operation, selector::Key, selector::Wake};

/// In the [`Interest`] of a POLL of base-loop's own: it is to be told also whether the other end is gone or there is an
/// error, which may have come together with data.
pub const CLOSED: Interest = Interest(1 << 31);

/// Carries out operations (asyncio: a proactor): io_uring, or I/O completion ports.
///
/// All methods are called by one thread at a time, and never while one of them runs. NOP and TIMEOUT never come here,
/// base-loop has its own.
///
/// # Safety
/// The final [`Completion`] of an operation comes when the system is done with all that the operation points to, and not
/// before. A proactor that is dropped with operations under way keeps what is its own of them, for the system may still
/// be using it.
#[allow(unsafe_code, reason = "an early completion would free memory that the system writes to")]
pub unsafe trait Proactor: Send + 'static {
    /// What makes a [`poll`](Self::poll) under way return, or the next one if none is. Asked for once.
    fn waker(&self) -> Arc<dyn Wake>;

    /// Whether it has an operation. POLL it must have.
    fn supports(&self, code: OpCode) -> bool;

    /// Whether a multishot POLL completes each time that the descriptor becomes ready, and once if it is to begin with, and
    /// not again and again while it is: then a stream needs one operation as long as that goes on, and otherwise one for each
    /// event.
    fn polls_edges(&self) -> bool {
        false
    }

    /// Starts an operation; its completions carry `key`. One that is multishot goes on until it is cancelled or fails; one
    /// [of a watch](Key::is_of_watch) may also end with any event, or with ECANCELED, and is then submitted anew. It may begin
    /// as late as with the next poll or [`flush`](Self::flush).
    ///
    /// # Errors
    /// Nothing was started. What is wrong with the operation itself is a completion.
    fn submit(&mut self, key: Key, operation: &Operation) -> io::Result<()>;

    /// Asks for the end of an operation, whose final completion comes all the same.
    fn cancel(&mut self, key: Key) -> io::Result<()>;

    /// Tells the system of everything that was submitted and cancelled, and does not wait.
    fn flush(&mut self) -> io::Result<()>;

    /// Does what [`flush`](Self::flush) does, waits until there is a completion, the waker was used or `timeout` has
    /// passed (`None`: no limit), and adds what is complete. True if the waker was used.
    ///
    /// # Errors
    /// `Interrupted` is tried again by the caller, with the time that is left.
    fn poll(&mut self, timeout: Option<Duration>, completions: &mut Vec<Completion>) -> io::Result<bool>;

    /// A descriptor that is readable when there are completions, or the waker was used, after [`prepare`](Self::prepare).
    fn poll_handle(&self) -> Option<Fd> {
        None
    }

    /// Somebody else is about to wait for the [`poll_handle`](Self::poll_handle): called before each such wait. What is under
    /// way for watches may end by it.
    fn prepare(&mut self) {}

    /// Whether only the thread of the first [`poll`](Self::poll) may flush and poll.
    fn is_thread_bound(&self) -> bool {
        false
    }
}

/// What became of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// What it was submitted with.
    pub key: Key,
    /// As of the system call: ≥ 0, or −errno. For POLL bits of [`Interest`]: those that it was asked for, and of a watch's
    /// poll any others too.
    pub result: i64,
    /// A second number: the length of an address.
    pub aux: u64,
    /// Whether the operation goes on; otherwise this is its final completion.
    pub more: bool,
}

impl Completion {
    /// A final completion.
    pub fn last(key: Key, result: i64) -> Self {
        Self { key, result, aux: 0, more: false }
    }

    /// The final completion of an operation that was cancelled.
    pub fn cancelled(key: Key) -> Self {
        Self::last(key, -i64::from(libc::ECANCELED))
    }
}
