//! The signals that cases use, by their numbers here.

/// Cannot be caught.
pub(crate) const SIGKILL: i32 = 9;
pub(crate) const SIGHUP: i32 = 1;
pub(crate) const SIGTERM: i32 = 15;

/// Ignored where nobody handles it, so a case may send it.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) const SIGURG: i32 = 23;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) const SIGURG: i32 = 16;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) const SIGCHLD: i32 = 17;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) const SIGCHLD: i32 = 20;
