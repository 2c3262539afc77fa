//! The built-in loops, by name.

mod selector;

use std::io;

use loophost_base_loop::BaseLoop;
use nix::{errno::Errno, sys::eventfd::EventFd};

use self::selector::MioSelector;
use crate::{Error, ErrorCode, LoopHandle, Options, services};

/// The names of the built-in loops.
pub const NAMES: [&str; 1] = ["selector"];

/// Makes a built-in loop.
///
/// `selector` is asyncio's `SelectorEventLoop`: base-loop around mio, which is epoll(7) on Linux. It takes no options.
///
/// # Errors
/// `NotFound` for an unknown name, `InvalidArgument` for an unknown option, `Os` if the system has no descriptor or
/// memory left.
pub fn new(name: &str, options: &Options) -> Result<LoopHandle, Error> {
    services::install();
    if let Some(option) = options.iter().next() {
        return Err(Error::invalid_argument(format!(
            "unknown option {}: the built-in loops take none",
            option.key()
        )));
    }
    match name {
        "selector" => {
            let selector = MioSelector::new().map_err(|error| no_selector(&error))?;
            Ok(LoopHandle::new(BaseLoop::new("SelectorEventLoop", selector)))
        }
        _ => Err(Error::new(
            ErrorCode::NOT_FOUND,
            format!("no built-in loop is named {name:?}: there is {}", NAMES.join(", ")),
        )),
    }
}

fn no_selector(error: &io::Error) -> Error {
    let is_forbidden = |errno| matches!(errno, Errno::EPERM | Errno::ENOSYS);
    if let Err(errno) = EventFd::new()
        && is_forbidden(errno)
    {
        return Error::os(&errno.into(), "eventfd is forbidden here, and loophost cannot do without");
    }
    match error.raw_os_error() {
        // A sandbox, not a shortage.
        Some(errno) if is_forbidden(Errno::from_raw(errno)) => {
            Error::os(error, "epoll is forbidden here (a policy that does without, such as poll, may work)")
        }
        _ => Error::os(error, "making a selector"),
    }
}
