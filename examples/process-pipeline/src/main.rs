//! Programs whose outputs are the inputs of the next, as a shell does it, with this process in between: what it reads from
//! one it writes to the next one, and no faster than that takes it.
//!
//! ```text
//! process-pipeline CMD [ARG…] '|' CMD [ARG…] …
//! ```

use std::{env, error::Error, io, process::ExitCode};

use loophost::{
    process::{Command, Stdio},
    spawn,
};

fn main() -> ExitCode {
    match run(env::args().skip(1).collect()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("process-pipeline: {error}");
            ExitCode::from(125)
        }
    }
}

/// The status of the last program.
fn run(words: Vec<String>) -> Result<ExitCode, Box<dyn Error>> {
    let mut commands = Vec::new();
    for words in words.split(|word| word == "|") {
        let Some((program, args)) = words.split_first() else {
            return Err("usage: process-pipeline CMD [ARG…] '|' CMD [ARG…] …".into());
        };
        commands.push(Command::new(program).args(args));
    }
    loophost::install_from_env()?;
    loophost::run(async {
        let last = commands.len() - 1;
        let mut before: Option<loophost::process::Process> = None;
        let mut earlier = Vec::new();
        for (n, mut command) in commands.into_iter().enumerate() {
            if n > 0 {
                command = command.stdin(Stdio::Pipe);
            }
            if n < last {
                command = command.stdout(Stdio::Pipe);
            }
            let mut process = command.kill_on_drop(true).spawn()?;
            if let Some(mut before) = before.take() {
                let (from, to) = (before.stdout.take(), process.stdin.take());
                if let (Some(mut from), Some(mut to)) = (from, to) {
                    // Dropped at the end, it tells the next program that there is no more, and the one before that
                    // nobody reads any more.
                    drop(spawn(async move { futures_lite::io::copy(&mut from, &mut to).await }));
                }
                earlier.push(before);
            }
            before = Some(process);
        }
        let status = match before {
            Some(mut last) => last.wait().await,
            None => return Err(io::Error::other("there is no program").into()),
        };
        for mut process in earlier {
            process.wait().await;
        }
        // 128 + N for signal N, as shells have it.
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        let code = status.code().or(signal.map(|signal| 128 + signal)).unwrap_or(255);
        Ok(ExitCode::from(u8::try_from(code).unwrap_or(255)))
    })?
}
