//! The one error type that crosses the boundary between host and plugin.

use std::{fmt, io};

use abi_stable::{
    StableAbi,
    std_types::{RBox, RResult, RString, RVec},
};

use crate::KeyValue;

/// What crosses instead of [`Result`].
pub type AbiResult<T> = RResult<T, Error>;

/// What kind of error it is: a number, so that new kinds can be added.
///
/// Codes below 2³¹ belong to loophost; a plugin uses [`ErrorCode::plugin`] for its own.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    /// None of the kinds below.
    pub const OTHER: Self = Self(0);
    /// Code on the other side panicked; the message holds the panic's text and place.
    pub const PANICKED: Self = Self(1);
    /// This object cannot do that (asyncio: `NotImplementedError`).
    pub const NOT_SUPPORTED: Self = Self(2);
    /// A system call failed; see [`Error::os_errno`] (asyncio: `OSError`).
    pub const OS: Self = Self(3);
    /// An argument is out of range or unknown (asyncio: `ValueError`, `TypeError`).
    pub const INVALID_ARGUMENT: Self = Self(4);
    /// The loop has been closed (asyncio: "Event loop is closed").
    pub const LOOP_CLOSED: Self = Self(5);
    /// The loop, or another loop of this thread, is running.
    pub const LOOP_RUNNING: Self = Self(6);
    /// The policy has no current loop for this context.
    pub const NO_CURRENT_LOOP: Self = Self(7);
    /// No loop is running in this thread (asyncio: "no running event loop").
    pub const NO_RUNNING_LOOP: Self = Self(8);
    /// A thread-bound method was called while another thread runs the loop.
    pub const WRONG_THREAD: Self = Self(9);
    /// Two threads used an idle loop at the same time.
    pub const BUSY: Self = Self(10);
    /// A loop was entered again from code that it called while its state was borrowed.
    pub const REENTERED: Self = Self(11);
    /// The descriptor is watched both as a reader or writer and as a stream.
    pub const FD_BUSY: Self = Self(12);
    /// The child watcher is not active, nothing was spawned.
    pub const INACTIVE: Self = Self(13);
    /// The process has exited and was reaped (asyncio: `ProcessLookupError`).
    pub const PROCESS_GONE: Self = Self(14);
    /// There is nothing by that name.
    pub const NOT_FOUND: Self = Self(15);
    /// A loop was used in a forked child.
    pub const FORKED: Self = Self(16);
    /// The loop was stopped before what it ran for was done (asyncio: "Event loop stopped before Future completed").
    pub const LOOP_STOPPED: Self = Self(17);

    /// The plugin's own code `n`, apart from all of loophost's.
    pub const fn plugin(n: u32) -> Self {
        Self(n | 1 << 31)
    }
}

/// An error: a code, a message for people, the operating system's error number if there is one,
/// and details for programs.
#[repr(transparent)]
#[derive(StableAbi, Clone)]
pub struct Error(RBox<ErrorBody>);

#[repr(C)]
#[derive(StableAbi, Clone)]
#[allow(unreachable_pub, reason = "its layout is public, as StableAbi needs it")]
pub struct ErrorBody {
    code: u32,
    os_errno: i32,
    message: RString,
    details: RVec<KeyValue>,
}

impl Error {
    /// An error with a message: lower case, what, which, and what to do next.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::with_errno(code, 0, message.into())
    }

    /// A failed system call: the message gets the system's own text appended.
    pub fn os(error: &io::Error, what: impl fmt::Display) -> Self {
        let errno = error.raw_os_error().unwrap_or(0);
        Self::with_errno(ErrorCode::OS, errno, format!("{what}: {error}"))
    }

    /// [`ErrorCode::NOT_SUPPORTED`] for a method.
    pub fn not_supported(what: &str) -> Self {
        Self::new(ErrorCode::NOT_SUPPORTED, format!("{what} is not supported here"))
    }

    /// [`ErrorCode::INVALID_ARGUMENT`].
    pub fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::INVALID_ARGUMENT, message)
    }

    #[cold]
    fn with_errno(code: ErrorCode, os_errno: i32, message: String) -> Self {
        Self(RBox::new(ErrorBody { code: code.0, os_errno, message: message.into(), details: RVec::new() }))
    }

    /// Adds one detail for programs to read.
    #[must_use]
    pub fn with_detail(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.0.details.push(KeyValue::new(key, value));
        self
    }

    /// Sets the operating system's error number, without another word in the message; 0 is none.
    #[must_use]
    pub fn with_os_errno(mut self, errno: i32) -> Self {
        self.0.os_errno = errno;
        self
    }

    /// The kind of error.
    pub fn code(&self) -> ErrorCode {
        ErrorCode(self.0.code)
    }

    /// The operating system's error number, if a system call failed.
    pub fn os_errno(&self) -> Option<i32> {
        (self.0.os_errno != 0).then_some(self.0.os_errno)
    }

    /// The message for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The details for programs.
    pub fn details(&self) -> &[KeyValue] {
        &self.0.details
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("code", &self.code())
            .field("os_errno", &self.os_errno())
            .field("message", &self.message())
            .field("details", &self.details())
            .finish()
    }
}

impl std::error::Error for Error {}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error.os_errno() {
            Some(errno) => io::Error::new(io::Error::from_raw_os_error(errno).kind(), error),
            None => io::Error::other(error),
        }
    }
}
