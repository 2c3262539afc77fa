//! Processes in async code, on each loop.

mod every_loop;

use std::{io, os::unix::process::ExitStatusExt, time::Duration};

use every_loop::run;
use futures_lite::{AsyncReadExt, AsyncWriteExt, future};
use loophost::{
    ErrorCode,
    process::{Command, SpawnError, Stdio, create_subprocess_exec},
    signal::signal,
    spawn,
    time::{sleep, timeout},
};
use nix::{
    sys::signal::{
        Signal::{SIGKILL, SIGUSR2},
        kill, raise,
    },
    unistd::Pid,
};

fn sh(script: &str) -> Command {
    Command::new("sh").arg("-c").arg(script)
}

#[test]
fn on_the_loops_of_each_plugin() {
    every_loop::repeat();
}

#[test]
fn statuses_are_exact() {
    run(async {
        assert_eq!(sh("exit 0").status().await.unwrap().code(), Some(0));
        assert_eq!(sh("exit 7").status().await.unwrap().code(), Some(7));
        assert_eq!(sh("kill -9 $$").status().await.unwrap().signal(), Some(9));
        assert_eq!(sh("exit 255").status().await.unwrap().code(), Some(255));
    })
    .unwrap();
}

#[test]
fn outputs_are_kept_apart_and_whole() {
    run(async {
        let output =
            sh("i=0; while [ $i -lt 20000 ]; do echo out$i; echo err$i >&2; i=$((i+1)); done; exit 3");
        let output = output.output().await.unwrap();
        assert_eq!(output.status.code(), Some(3));
        for (bytes, name) in [(output.stdout, "out"), (output.stderr, "err")] {
            let text = String::from_utf8(bytes).unwrap();
            let expected: String = (0..20_000).map(|n| format!("{name}{n}\n")).collect();
            assert!(text == expected, "{name}");
        }
    })
    .unwrap();
}

#[test]
fn a_conversation_through_pipes() {
    run(async {
        let mut cat = Command::new("cat").stdin(Stdio::Pipe).stdout(Stdio::Pipe).spawn().unwrap();
        let mut stdin = cat.stdin.take().unwrap();
        let data = vec![b'x'; 4 << 20];
        let sent = data.clone();
        let write = spawn(async move {
            stdin.write_all(&sent).await?;
            drop(stdin);
            io::Result::Ok(())
        });
        let mut back = Vec::new();
        cat.stdout.take().unwrap().read_to_end(&mut back).await.unwrap();
        write.await.unwrap().unwrap();
        assert!(back == data);
        assert!(cat.wait().await.success());
        assert!(cat.wait().await.success(), "asked again, it says the same");
    })
    .unwrap();
}

#[test]
fn waiting_closes_stdin() {
    run(async {
        let mut cat = Command::new("cat").stdin(Stdio::Pipe).spawn().unwrap();
        assert!(cat.wait().await.success());
    })
    .unwrap();
}

#[test]
fn a_reader_that_is_gone_is_a_broken_pipe() {
    run(async {
        let mut child = sh("exec <&-; read x < /dev/null; exit 4").stdin(Stdio::Pipe).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let error = loop {
            match stdin.write_all(&[0; 4096]).await {
                Ok(()) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(child.wait().await.code(), Some(4));
    })
    .unwrap();
}

#[test]
fn the_exit_does_not_wait_for_who_holds_the_pipes() {
    run(async {
        let mut child = sh("sleep 1000 & echo $!; exit 5").stdout(Stdio::Pipe).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        assert_eq!(child.wait().await.code(), Some(5));
        let mut pid = String::new();
        while !pid.ends_with('\n') {
            let mut byte = [0];
            stdout.read_exact(&mut byte).await.unwrap();
            pid.push(byte[0].into());
        }
        let killed = Command::new("kill").arg("-9").arg(pid.trim()).status().await.unwrap();
        assert!(killed.success());
        stdout.read_to_end(&mut Vec::new()).await.unwrap();
    })
    .unwrap();
}

#[test]
fn kill_ends_it_and_dropping_does_only_if_asked() {
    run(async {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        assert_eq!(child.kill().await.unwrap().signal(), Some(9));
        assert_eq!(child.kill().await.unwrap().signal(), Some(9), "one that is gone is no error");

        // The pipe ends when the process does.
        let command = || sh("exec sleep 1000").stdout(Stdio::Pipe);
        let mut killed = command().kill_on_drop(true).spawn().unwrap();
        let mut stdout = killed.stdout.take().unwrap();
        drop(killed);
        assert_eq!(stdout.read(&mut [0]).await.unwrap(), 0);

        let mut kept = command().spawn().unwrap();
        let (mut stdout, pid) = (kept.stdout.take().unwrap(), kept.child().pid());
        drop(kept);
        assert!(timeout(Duration::from_millis(20), stdout.read(&mut [0])).await.is_err());
        let pid = Pid::from_raw(pid.try_into().unwrap());
        kill(pid, SIGKILL).unwrap();
        assert_eq!(stdout.read(&mut [0]).await.unwrap(), 0);
    })
    .unwrap();
}

#[test]
fn a_dropped_wait_loses_no_exit() {
    run(async {
        let mut child = sh("exit 6").spawn().unwrap();
        let _ = timeout(Duration::ZERO, child.wait()).await;
        assert_eq!(child.wait().await.code(), Some(6));
    })
    .unwrap();
}

#[test]
fn what_is_given_up_in_the_middle_leaves_no_process() {
    run(async {
        let (gone, writer) = io::pipe().unwrap();
        let command = || sh("exec sleep 1000").stdin(Stdio::Null).kill_on_drop(true);
        // The pipe ends when all of them have.
        for turns in 0..3 {
            let held = |fd: &io::PipeWriter| Stdio::Fd(fd.try_clone().unwrap().into());
            let mut status = Box::pin(command().stderr(held(&writer)).status());
            let mut output = Box::pin(command().stderr(held(&writer)).output());
            for _ in 0..=turns {
                assert!(future::poll_once(&mut status).await.is_none());
                assert!(future::poll_once(&mut output).await.is_none());
                sleep(Duration::from_millis(1)).await;
            }
        }
        drop(writer);
        let mut gone = loophost::io::Async::new(gone).unwrap();
        assert_eq!(gone.read(&mut [0]).await.unwrap(), 0);
    })
    .unwrap();
}

#[test]
fn many_at_once() {
    run(async {
        let tasks: Vec<_> = (0..200)
            .map(|n| spawn(async move { sh(&format!("exit {n}")).status().await.unwrap().code() }))
            .collect();
        for (n, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await.unwrap(), Some(n as i32));
        }
    })
    .unwrap();
}

#[test]
fn what_cannot_be_started_is_an_error_and_needs_a_loop() {
    run(async {
        let error = Command::new("no such program").status().await.unwrap_err();
        assert!(matches!(error, SpawnError::NotFound { .. }), "{error}");
    })
    .unwrap();
    let error = create_subprocess_exec(Command::new("true")).unwrap_err();
    assert!(matches!(&error, SpawnError::Watcher(error) if error.code() == ErrorCode::NO_RUNNING_LOOP));
}

#[test]
fn signals_are_told_to_everybody_who_waits() {
    run(async {
        let mut first = signal(SIGUSR2 as i32).unwrap();
        let mut second = signal(SIGUSR2 as i32).unwrap();
        let raised = spawn(async {
            sleep(Duration::from_millis(1)).await;
            raise(SIGUSR2).unwrap();
        });
        future::zip(first.recv(), second.recv()).await;
        raised.await.unwrap();
        assert!(timeout(Duration::from_millis(5), first.recv()).await.is_err(), "once for each arrival");
    })
    .unwrap();
}
