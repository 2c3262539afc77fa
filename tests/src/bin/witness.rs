//! A program for loophost to run, which tells of each signal that it gets, and from whom.
//!
//! `witness FILE [SIGNAL=STATUS]…` appends a line `ready PID` to the file, and one for each signal: `SIGINT kernel` if the
//! kernel itself has sent it, as for a terminal's ^C, else `SIGINT process`. A signal that is listed ends it with that
//! status. Without that it runs until it is killed. Job control works as for any program.

use std::{
    env,
    fs::File,
    io::Write,
    process::{self, ExitCode},
};

use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::SignalFd,
};

const SIGNALS: [Signal; 8] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
    Signal::SIGCONT,
];

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let file = args.next().expect("the name of a file");
    let ends: Vec<(Signal, u8)> = args.map(|arg| end(&arg)).collect();

    let set: SigSet = SIGNALS.into_iter().collect();
    set.thread_block().expect("signals can be blocked");
    let signals = SignalFd::new(&set).expect("a signalfd can be made");
    let mut file = File::options().append(true).create(true).open(file).expect("the file can be opened");
    // One write for each line, so that none is ever seen half.
    file.write_all(format!("ready {}\n", process::id()).as_bytes()).expect("the file can be written");
    loop {
        let arrival = signals.read_signal().expect("the signalfd can be read").expect("it waits");
        let signal = Signal::try_from(arrival.ssi_signo as i32).expect("one of those above");
        let sender = if arrival.ssi_code == SI_KERNEL { "kernel" } else { "process" };
        file.write_all(format!("{signal} {sender}\n").as_bytes()).expect("the file can be written");
        if let Some((_, status)) = ends.iter().find(|(ends, _)| *ends == signal) {
            return ExitCode::from(*status);
        }
    }
}

/// `si_code` of a signal that the kernel has sent.
const SI_KERNEL: i32 = 0x80;

fn end(arg: &str) -> (Signal, u8) {
    let (signal, status) = arg.split_once('=').expect("SIGNAL=STATUS");
    (format!("SIG{signal}").parse().expect("a signal"), status.parse().expect("a status"))
}
