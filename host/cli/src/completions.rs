//! `loophost completions`: what a shell can complete, from the same description as the help.

use std::{
    error::Error,
    io::{self, Write},
};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::{args::Args, exit_status::Outcome, output};

/// Prints the script that the shell is to source.
pub(crate) fn print(shell: Shell) -> Result<Outcome, Box<dyn Error>> {
    // Into memory first: the generator panics if it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "loophost", &mut script);
    output::ended(io::stdout().lock().write_all(&script).map_err(Into::into))
}
