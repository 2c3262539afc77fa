//! Each case in a process of its own, several at a time, on our own loop and watcher.

use std::{
    cell::RefCell,
    collections::HashMap,
    env,
    error::Error,
    ffi::OsString,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
    rc::Rc,
    time::{Duration, Instant},
};

use loophost::{
    Callback, HandleId, LoopHandle, policy,
    process::{self, Command, Stdio},
};
use nix::sys::signal::Signal;

use super::{
    Each, Runner,
    child::Told,
    job::Job,
    processes::Processes,
    result::{Ended, Verdict},
    target::Target,
};
use crate::{
    args::{Args, Check, OfferOptions},
    death_signal,
};

/// What is kept of what a case writes to standard error.
const OUTPUT: u64 = 2048;

pub(super) struct Isolated {
    event_loop: LoopHandle,
    processes: Processes,
    program: PathBuf,
    /// The flags that hold for every case.
    flags: Vec<OsString>,
    target: OsString,
    /// What cases get when loophost is killed.
    death_signal: Option<i32>,
    jobs: usize,
    timeout: Duration,
}

/// The process of a case.
struct Running {
    started: Instant,
    timer: HandleId,
    timed_out: bool,
    result: File,
    output: File,
}

/// Written by callbacks: what there is to do after a turn.
#[derive(Default)]
struct News {
    /// Number and returncode.
    exited: Vec<(usize, i64)>,
    /// The time of these is over.
    late: Vec<usize>,
}

impl Isolated {
    pub(super) fn new(
        target: &Target,
        flags: Vec<OsString>,
        jobs: usize,
        timeout: Duration,
    ) -> Result<Self, Box<dyn Error>> {
        let event_loop = policy::new_event_loop()?;
        // Processes are started between two turns, where no loop runs.
        policy::get_event_loop_policy().get_child_watcher()?.attach_loop(Some(event_loop.clone()))?;
        let program = env::current_exe()?;
        let processes = Processes::new()?;
        Ok(Self {
            event_loop,
            processes,
            program,
            flags,
            target: target.argument(),
            death_signal: death_signal::find("cases"),
            jobs,
            timeout,
        })
    }

    /// Half of the time that a case has: then it fails with a message, before it is killed without one.
    fn patience(&self) -> Duration {
        self.timeout / 2
    }

    fn start(&self, number: usize, job: &Job, news: &Rc<RefCell<News>>) -> Result<Running, Box<dyn Error>> {
        let (result, output) = (temporary_file()?, temporary_file()?);
        let mut command = Command::new(&self.program)
            .args(&self.flags)
            .args(["--case", job.case.name(), "--patience-ms"])
            .arg(u64::try_from(self.patience().as_millis()).unwrap_or(u64::MAX).to_string())
            .stdin(Stdio::Null)
            .stdout(Stdio::Fd(result.try_clone()?.into()))
            .stderr(Stdio::Fd(output.try_clone()?.into()))
            // To be killed with all that it has started.
            .process_group(Some(0));
        if let Some(signum) = self.death_signal {
            command = command.death_signal(signum);
        }
        if let Some(offer) = &job.offer {
            command = command.arg("--offer").arg(offer.argument());
        }
        let exits = news.clone();
        let on_exit = Callback::local(move |event| {
            exits.borrow_mut().exited.push((number, event.result));
            Ok(())
        });
        let command = command.arg("--").arg(&self.target);
        let late = news.clone();
        let timer = self.event_loop.call_later(
            self.timeout,
            Callback::local(move |_| {
                late.borrow_mut().late.push(number);
                Ok(())
            }),
        )?;
        let running = Running { started: Instant::now(), timer, timed_out: false, result, output };
        if let Err(error) =
            self.processes.start(number, || process::subprocess_exec(&self.event_loop, command, on_exit))
        {
            self.event_loop.cancel(timer)?;
            return Err(error.into());
        }
        Ok(running)
    }
}

impl Runner for Isolated {
    fn run(&mut self, jobs: &[Job], each: &mut Each<'_>) -> Result<(), Box<dyn Error>> {
        let news = Rc::new(RefCell::new(News::default()));
        let mut running = HashMap::<usize, Running>::new();
        let mut waiting = jobs.iter().enumerate().peekable();
        loop {
            while running.len() < self.jobs
                && let Some((number, job)) = waiting.peek()
            {
                match self.start(*number, job, &news) {
                    Ok(process) => running.insert(*number, process),
                    // Those that run give back what there is too little of.
                    Err(_) if !running.is_empty() => break,
                    Err(error) => return Err(error),
                };
                waiting.next();
            }
            if running.is_empty() {
                return Ok(());
            }
            self.event_loop.run_once(None)?;
            let News { exited, late } = news.take();
            // An exit that is known counts, however late it is.
            for (number, returncode) in exited {
                self.processes.ended(number);
                let Some(process) = running.remove(&number) else { continue };
                self.event_loop.cancel(process.timer)?;
                each(&jobs[number], process.ended(returncode, self.timeout)?)?;
            }
            for number in late {
                let Some(process) = running.get_mut(&number) else { continue };
                process.timed_out = true;
                self.processes.kill(number);
            }
        }
    }
}

impl Running {
    fn ended(mut self, returncode: i64, timeout: Duration) -> io::Result<Ended> {
        let duration = self.started.elapsed();
        self.result.seek(SeekFrom::Start(0))?;
        let told = serde_json::from_reader::<_, Told>(&self.result);
        let output = last(&mut self.output)?;
        let (verdict, reason, load_time) = match told {
            _ if self.timed_out => {
                (Verdict::TimedOut, Some(format!("it did not end within {timeout:?}, and was killed")), None)
            }
            Ok(told) if returncode == 0 => (told.verdict, told.reason, told.load_time),
            // Not in the case, but on the way out.
            Ok(_) => (Verdict::Crashed, Some(format!("{} after the case", death(returncode))), None),
            Err(_) => (Verdict::Crashed, Some(death(returncode)), None),
        };
        Ok(Ended { verdict, reason, duration, load_time, output })
    }
}

/// For what a case says.
fn temporary_file() -> Result<File, String> {
    let why = |error| {
        let folder = env::temp_dir();
        format!(
            "making a file for what a case says in {}: {error}; TMPDIR names the folder",
            folder.display()
        )
    };
    tempfile::tempfile().map_err(why)
}

/// How a process has died.
fn death(returncode: i64) -> String {
    let signal = i32::try_from(-returncode).ok().and_then(|signum| Signal::try_from(signum).ok());
    match signal {
        Some(signal) => format!("killed by {}", signal.as_str()),
        None if returncode < 0 => format!("killed by signal {}", -returncode),
        None => format!("it ended the process with status {returncode}"),
    }
}

fn last(output: &mut File) -> io::Result<String> {
    let length = output.seek(SeekFrom::End(0))?;
    output.seek(SeekFrom::Start(length.saturating_sub(OUTPUT)))?;
    let mut bytes = Vec::new();
    output.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

/// The flags that hold for the processes of the cases too.
pub(super) fn flags(common: &Args, check: &Check) -> Vec<OsString> {
    let mut flags = Vec::new();
    if let Some(filter) = &common.log {
        flags.extend(["--log".into(), filter.to_string().into()]);
    }
    for owner in &common.trust_owner {
        flags.extend(["--trust-owner".into(), owner.to_string().into()]);
    }
    if let Some(config) = &common.config {
        flags.extend(["--config".into(), config.into()]);
    }
    flags.extend(["plugin", "check-case"].map(OsString::from));
    let OfferOptions { policy_opt, watcher_opt } = &check.options;
    for (flag, options) in [("--policy-opt", policy_opt), ("--watcher-opt", watcher_opt)] {
        flags.extend(options.iter().flat_map(|(key, value)| [flag.into(), format!("{key}={value}").into()]));
    }
    flags
}
