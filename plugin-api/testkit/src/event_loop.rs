//! The cases of event loops.

mod calls;
mod closing;
mod completion;
mod description;
mod embedding;
mod readers;
mod running;
mod signals;
mod streams;
mod threads;
mod timers;

use std::{
    io,
    os::{fd::AsRawFd, unix::net::UnixStream},
};

use loophost_plugin_api::{Fd, LoopHandle};

use crate::{
    Case, Harness, Subject,
    test_loop::TestLoop,
    verdict::{Verdict, skipped},
};

pub(crate) fn cases() -> impl Iterator<Item = &'static [Case]> {
    [
        calls::CASES,
        timers::CASES,
        running::CASES,
        closing::CASES,
        description::CASES,
        threads::CASES,
        readers::CASES,
        streams::CASES,
        signals::CASES,
        embedding::CASES,
    ]
    .into_iter()
    .chain(completion::cases())
}

/// What a case of event loops gets.
pub(crate) struct LoopBench<'a> {
    pub(crate) harness: &'a dyn Harness,
    subject: &'a Subject<'a>,
}

impl<'a> LoopBench<'a> {
    pub(crate) fn new(harness: &'a dyn Harness, subject: &'a Subject<'a>) -> Self {
        Self { harness, subject }
    }

    /// A fresh loop; of a fresh policy, which may make few.
    pub(crate) fn event_loop(&self) -> Verdict<TestLoop> {
        TestLoop::new(self.bare_loop()?, self.harness.patience())
    }

    /// A fresh loop that nobody closes and nobody listens to.
    pub(crate) fn bare_loop(&self) -> Verdict<LoopHandle> {
        match self.subject {
            Subject::EventLoop(make) => Ok(make()?),
            Subject::Policy(make) => Ok(make()?.new_event_loop()?),
            Subject::ChildWatcher(_) | Subject::Plugin(_) => Err(skipped("there is no loop")),
        }
    }
}

/// Two ends that never block.
fn pair() -> io::Result<(UnixStream, UnixStream)> {
    let (near, far) = UnixStream::pair()?;
    near.set_nonblocking(true)?;
    far.set_nonblocking(true)?;
    Ok((near, far))
}

fn fd(stream: &UnixStream) -> Fd {
    stream.as_raw_fd().into()
}
