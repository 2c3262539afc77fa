//! Processes in async code.

use std::{
    future::poll_fn,
    io::{self, PipeReader, PipeWriter},
    mem,
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    process::{ExitStatus, Output},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use futures_lite::{AsyncReadExt, future};

use super::{Child, Command, SpawnError, Stdio, lock, subprocess_exec};
use crate::{Callback, Error, ErrorCode, Event, io::Async, policy, sys::fork_mark};

/// Starts a process under the policy's child watcher (asyncio: `create_subprocess_exec`). The same as [`Command::spawn`].
///
/// # Errors
/// See [`SpawnError`]; no process is left. `NoRunningLoop` outside of a loop.
pub fn create_subprocess_exec(command: Command) -> Result<Process, SpawnError> {
    command.spawn()
}

impl Command {
    /// Starts it under the policy's child watcher; its exit is told on the loop that runs here.
    ///
    /// ```
    /// use futures_lite::AsyncReadExt;
    /// use loophost::process::{Command, Stdio};
    ///
    /// let said = loophost::run(async {
    ///     let mut echo = Command::new("echo").arg("hello").stdout(Stdio::Pipe).spawn()?;
    ///     let mut said = String::new();
    ///     echo.stdout.take().unwrap().read_to_string(&mut said).await?;
    ///     assert!(echo.wait().await.success());
    ///     Ok::<_, Box<dyn std::error::Error>>(said)
    /// });
    /// assert_eq!(said.unwrap().unwrap(), "hello\n");
    /// ```
    ///
    /// # Errors
    /// See [`SpawnError`]; no process is left. `NoRunningLoop` outside of a loop.
    pub fn spawn(self) -> Result<Process, SpawnError> {
        let event_loop = policy::get_running_loop().map_err(SpawnError::Watcher)?;
        let kill_on_drop = self.kill_on_drop.then(fork_mark::generation);
        let exit = Arc::new(Exit::default());
        let theirs = exit.clone();
        let on_exit = Callback::new(move |event| {
            let is_known = event.flags & Event::STATUS_LOST == 0;
            // A status that somebody else has taken is 255, as everywhere.
            let raw = event.child_exit().filter(|_| is_known).map_or(255 << 8, |exit| exit.raw_status);
            theirs.set(ExitStatus::from_raw(raw));
            Ok(())
        });
        let mut child = subprocess_exec(&event_loop, self, on_exit)?;
        let [stdin, stdout, stderr] = [child.stdin.take(), child.stdout.take(), child.stderr.take()];
        let mut process = Process { child, exit, kill_on_drop, stdin: None, stdout: None, stderr: None };
        let pipes = || -> io::Result<_> {
            Ok((pipe::<PipeWriter>(stdin)?, pipe::<PipeReader>(stdout)?, pipe::<PipeReader>(stderr)?))
        };
        match pipes() {
            Ok((stdin, stdout, stderr)) => {
                (process.stdin, process.stdout, process.stderr) = (stdin, stdout, stderr);
                Ok(process)
            }
            Err(source) => {
                // Its handler reaps it.
                let _ = process.child.kill();
                Err(SpawnError::Os { what: "making a pipe non-blocking", source })
            }
        }
    }

    /// Starts it and waits for its end. Dropped before that, it leaves the process alone unless
    /// [`kill_on_drop`](Self::kill_on_drop) says otherwise.
    pub async fn status(self) -> Result<ExitStatus, SpawnError> {
        Ok(self.spawn()?.wait().await)
    }

    /// Starts it with pipes for its outputs and nothing to read, and waits for its end and for all that it writes; streams
    /// that were set otherwise stay so. Dropped before that, it loses what was read, and leaves the process as
    /// [`status`](Self::status) does.
    ///
    /// # Errors
    /// See [`SpawnError`].
    pub async fn output(mut self) -> Result<Output, SpawnError> {
        for (n, stream) in [Stdio::Null, Stdio::Pipe, Stdio::Pipe].into_iter().enumerate() {
            if matches!(self.stdio[n], Stdio::Inherit) {
                self.stdio[n] = stream;
            }
        }
        let read = |source| SpawnError::Os { what: "reading the output", source };
        self.spawn()?.wait_with_output().await.map_err(read)
    }
}

/// A process that was started with [`Command::spawn`] (asyncio: `asyncio.subprocess.Process`).
///
/// Dropping it leaves the process alone, and no zombie, unless [`Command::kill_on_drop`] was set.
#[derive(Debug)]
pub struct Process {
    child: Child,
    exit: Arc<Exit>,
    /// The process that kills it on drop: a forked child does not.
    kill_on_drop: Option<u64>,
    /// Our end of descriptor 0, if it is a pipe.
    pub stdin: Option<Async<PipeWriter>>,
    /// Our end of descriptor 1, if it is a pipe.
    pub stdout: Option<Async<PipeReader>>,
    /// Our end of descriptor 2, if it is a pipe.
    pub stderr: Option<Async<PipeReader>>,
}

impl Process {
    /// The process itself: its pid, its returncode, and signals to it.
    pub fn child(&self) -> &Child {
        &self.child
    }

    /// Closes [`stdin`](Self::stdin) if it is still here, and waits until the process has exited; what other processes
    /// do with its pipes does not matter. Asked again, it says the same. Cancel-safe.
    ///
    /// 255 also stands for a status that somebody else has taken.
    pub async fn wait(&mut self) -> ExitStatus {
        drop(self.stdin.take());
        self.exited().await
    }

    async fn exited(&self) -> ExitStatus {
        poll_fn(|cx| self.exit.poll(cx)).await
    }

    /// Closes stdin, reads both outputs to their end as far as they are pipes, and waits for the exit (asyncio:
    /// `communicate`). Dropped before that, it loses what was read.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        let (stdout, stderr) = (self.stdout.take(), self.stderr.take());
        let outputs = future::try_zip(read_all(stdout), read_all(stderr));
        let ((stdout, stderr), status) = future::try_zip(outputs, async { Ok(self.exited().await) }).await?;
        Ok(Output { status, stdout, stderr })
    }

    /// Kills the process and waits for its end. Cancel-safe: once it was polled, the process is killed.
    ///
    /// # Errors
    /// `Os` with `EPERM` if it has changed its user. A process that has exited already is none.
    pub async fn kill(&mut self) -> Result<ExitStatus, Error> {
        match self.child.kill() {
            Err(error) if error.code() != ErrorCode::PROCESS_GONE => Err(error),
            _ => Ok(self.wait().await),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.kill_on_drop == Some(fork_mark::generation()) && self.child.returncode().is_none() {
            // One that is gone, or not ours to kill: then there is nothing to do.
            let _ = self.child.kill();
        }
    }
}

fn pipe<T>(end: Option<OwnedFd>) -> io::Result<Option<Async<T>>>
where
    T: From<OwnedFd> + std::os::fd::AsFd + Send + 'static,
{
    end.map(|end| Async::new(T::from(end))).transpose()
}

async fn read_all(pipe: Option<Async<PipeReader>>) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut all).await?;
    }
    Ok(all)
}

/// The exit of a process, and who waits for it.
#[derive(Debug, Default)]
struct Exit(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    status: Option<ExitStatus>,
    waiters: Vec<Waker>,
}

impl Exit {
    fn set(&self, status: ExitStatus) {
        let waiters = {
            let mut state = lock(&self.0);
            state.status = Some(status);
            mem::take(&mut state.waiters)
        };
        waiters.into_iter().for_each(Waker::wake);
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<ExitStatus> {
        let mut state = lock(&self.0);
        if let Some(status) = state.status {
            return Poll::Ready(status);
        }
        if !state.waiters.iter().any(|waiter| waiter.will_wake(cx.waker())) {
            state.waiters.push(cx.waker().clone());
        }
        Poll::Pending
    }
}
