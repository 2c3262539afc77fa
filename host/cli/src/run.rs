//! `loophost run`: one program, transparent to signals, terminal and exit status.

mod supervisor;
mod terminal;

use std::error::Error;

use loophost::{
    policy,
    process::{Command, SignalSet, Stdio},
    signal,
};
use nix::sys::signal::Signal;

use crate::{
    args::{Args, Run},
    choice,
    exit_status::Outcome,
    explain,
    export::Export,
    output,
    settings::Settings,
    sys::{signals, startup},
    watchdog::Watchdog,
};
use supervisor::Supervisor;
use terminal::Terminal;

/// Signals that are forwarded to the child.
const FORWARDED: [i32; 8] = [
    libc::SIGINT,
    libc::SIGTERM,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGWINCH,
    libc::SIGCONT,
];

pub(crate) fn run(args: &Run, common: &Args) -> Result<Outcome, Box<dyn Error>> {
    let terminal = Terminal::to_lend();
    reserve_signals(terminal.is_some())?;
    let settings = Settings::begin(common)?;

    let watchdog = Watchdog::default();
    let chosen = choice::choose(&args.choices, &settings, &watchdog)?;
    let export = if args.no_export { Export::NONE } else { Export::new(&chosen, &settings) };
    if args.explain {
        return output::ended(explain::print(&chosen, &settings, &export));
    }
    policy::set_event_loop(Some(chosen.event_loop.clone()))?;
    let command = export.to(command(args, terminal.as_ref())?);
    let outcome = Supervisor::new(chosen.event_loop.clone(), terminal, watchdog)
        .run(command)
        .map_err(|error| chosen.loop_error(&error))?;
    chosen.close_loop();
    if outcome == Outcome::Exited(-libc::SIGINT) && terminal::is_in_foreground() {
        // So that a ^C ends the loop or the script around loophost: shells ask whether the program died of it. They
        // show the same status, 130.
        signals::end_by(Signal::SIGINT)?;
    }
    Ok(outcome)
}

/// Before any thread exists, so that all of them inherit the mask.
fn reserve_signals(lends_terminal: bool) -> Result<(), Box<dyn Error>> {
    // Handing the terminal over from the background, or writing to it there, must not stop loophost (TTOU). Otherwise
    // what stops the others of its group stops loophost as well, without any help.
    let job_control: &[i32] = if lends_terminal { &[libc::SIGTSTP, libc::SIGTTOU] } else { &[] };
    let masked: Vec<_> = FORWARDED.iter().chain(&[libc::SIGCHLD]).chain(job_control).copied().collect();
    signal::init_mask(&masked)?;
    signals::stop_ignoring_children()?;
    Ok(())
}

/// The child gets exactly what loophost was started with, except that it never ignores SIGCHLD.
fn command(args: &Run, terminal: Option<&Terminal>) -> Result<Command, Box<dyn Error>> {
    let (program, rest) = args.command.split_first().ok_or("no program was given")?;
    let stream = |n| if startup::was_closed(n) { Stdio::Closed } else { Stdio::Inherit };
    let mut command = Command::new(program)
        .args(rest)
        .stdin(stream(0))
        .stdout(stream(1))
        .stderr(stream(2))
        .signal_mask(startup::blocked_signals())
        .default_signals(SignalSet::ALL.without(startup::ignored_signals()));
    if let Some(terminal) = terminal {
        command = command.process_group(Some(0)).foreground_terminal(terminal.duplicate()?);
    }
    if let Some(signum) = args.death_signal {
        // This is the main thread, which lives as long as loophost.
        command = command.death_signal(signum);
    }
    Ok(command)
}
