//! The end of what is printed to standard output.

use std::{error::Error, io};

use crate::exit_status::Outcome;

/// A reader that has read enough, as `| head` does, is no failure.
pub(crate) fn ended(printed: Result<(), Box<dyn Error>>) -> Result<Outcome, Box<dyn Error>> {
    let Err(error) = printed else { return Ok(Outcome::Done) };
    match error.downcast_ref::<io::Error>() {
        Some(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Outcome::Done),
        Some(error) => Err(format!("writing to standard output: {error}").into()),
        None => Err(error),
    }
}
