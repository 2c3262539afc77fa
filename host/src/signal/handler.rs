//! Signals by handler: for all that are not reserved.

use crate::{Error, signal::name, sys::signal_handler};

/// Makes the signal arrive here; false if it did already.
pub(super) fn install(signum: i32) -> Result<bool, Error> {
    signal_handler::install(signum)
        .map_err(|error| Error::os(&error, format_args!("installing a handler for {}", name(signum))))
}

/// Ends that, unless somebody else's handler is in place; false if so.
pub(super) fn restore(signum: i32) -> Result<bool, Error> {
    signal_handler::restore(signum)
        .map_err(|error| Error::os(&error, format_args!("restoring the handler of {}", name(signum))))
}
