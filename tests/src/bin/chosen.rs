//! A program that is built on the library, and tells of the loop and the child watcher that it was started with.
//!
//! `chosen` prints a line `loop NAME` and one `watcher NAME`; plugins log to standard error.

use std::{error::Error, io, process::ExitCode};

use loophost::policy;

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(false).init();
    match tell() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chosen: {error}");
            ExitCode::FAILURE
        }
    }
}

fn tell() -> Result<(), Box<dyn Error>> {
    loophost::install_from_env()?;
    println!("loop {}", loophost::run(async { policy::get_running_loop().map(|running| running.name()) })??);
    println!("watcher {}", policy::get_event_loop_policy().get_child_watcher()?.name());
    Ok(())
}
