//! Loading what would be chosen, in a process of its own: what ends or stops that process is a finding too.

use std::{
    env,
    error::Error,
    fs::File,
    io::{self, PipeReader, Read, Write},
    os::{fd::AsFd, unix::process::ExitStatusExt},
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use loophost::policy;
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::signal::Signal,
};

use super::finding::Finding;
use crate::{args::Doctor, choice, exit_status::Outcome, settings::Settings, watchdog::Watchdog};

const ID: &str = "choice.loaded";

/// The flag that makes a doctor the process which loads.
const FLAG: &str = "--load-here";

/// A plugin that needs longer has stopped.
const PATIENCE: Duration = Duration::from_secs(20);

/// As much as the pipe takes without a reader.
const LONGEST_ANSWER: usize = 4096;

/// What becomes of it when `run` gets as far as starting the program.
pub(super) fn finding() -> Finding {
    match ask() {
        Ok((Some(_), Some(answer))) => judge(&answer),
        Ok((Some(status), None)) => died(status),
        Ok((None, _)) => Finding::problem(
            ID,
            format!("does not come back within {} seconds", PATIENCE.as_secs()),
            "a constructor, `init` or the making of policy, watcher or loop waits for something; mend the plugin",
        ),
        Err(error) => Finding::problem(
            ID,
            format!("not tried: no process can be made for it: {error}"),
            "`run` cannot make its program either; see the other findings",
        ),
    }
}

/// Has another doctor do it: how that one ends, unless it does not, and its answer, if it gets that far.
fn ask() -> io::Result<(Option<ExitStatus>, Option<String>)> {
    let (reader, writer) = io::pipe()?;
    let mut child = Command::new(env::current_exe()?)
        .args(env::args_os().skip(1))
        .arg(FLAG)
        // What a plugin prints is no part of the report, so the answer has a way of its own.
        .stdin(writer)
        .stdout(Stdio::null())
        .spawn()?;
    let begun = Instant::now();
    let mut status = child.try_wait()?;
    while status.is_none() && begun.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(2));
        status = child.try_wait()?;
    }
    if status.is_none() {
        child.kill()?;
        child.wait()?;
    }
    Ok((status, read(reader)?))
}

/// What is in the pipe. Whoever a plugin has started may keep the other end open.
fn read(mut reader: PipeReader) -> io::Result<Option<String>> {
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let mut answer = [0; LONGEST_ANSWER];
    match reader.read(&mut answer) {
        Ok(0) => Ok(None),
        Ok(length) => Ok(Some(String::from_utf8_lossy(&answer[..length]).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

fn judge(answer: &str) -> Finding {
    match answer.split_once('\n') {
        Some(("loaded", value)) => Finding::ok(ID, value),
        Some(("failed", error)) => {
            let (value, advice) = error.split_once('\n').unwrap_or((error, "`run` fails in the same way"));
            Finding::problem(ID, value, advice)
        }
        _ => Finding::unknown(ID, "the process that loads has answered nonsense"),
    }
}

/// It has ended before it could answer.
fn died(status: ExitStatus) -> Finding {
    let how = match (status.signal().map(Signal::try_from), status.code()) {
        (Some(Ok(signal)), _) => format!("dies of {signal} while it is loaded"),
        // Of ld.so: an assertion.
        (None, Some(127)) => "makes the system's loader give up".into(),
        (None, Some(code)) => format!("ends the process with status {code} while it is loaded"),
        _ => format!("ends the process while it is loaded: {status}"),
    };
    Finding::problem(ID, how, "the plugin's file is damaged, or its constructors are at fault: rebuild it")
}

/// The life of the process that loads.
pub(super) fn answer(args: &Doctor, settings: &Settings) -> Result<Outcome, Box<dyn Error>> {
    let mut asker = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let answer = match load(args, settings) {
        Ok(value) => format!("loaded\n{value}"),
        Err(error) => format!("failed\n{error}"),
    };
    asker.write_all(&answer.as_bytes()[..answer.len().min(LONGEST_ANSWER)])?;
    Ok(Outcome::Done)
}

/// Does what `run` does, up to starting the program.
fn load(args: &Doctor, settings: &Settings) -> Result<String, Box<dyn Error>> {
    let chosen = choice::choose(&args.choices, settings, &Watchdog::default())?;
    let watcher = policy::get_event_loop_policy().get_child_watcher()?.name();
    let value = format!("loop {}, watcher {watcher}", chosen.event_loop.name());
    chosen.event_loop.close()?;
    Ok(value)
}
