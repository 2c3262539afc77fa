//! Readers and writers of an event loop.

use std::{
    fs::File,
    io::{Read, Write},
    net::Shutdown,
    os::{fd::AsRawFd, unix::net::UnixStream},
    sync::Arc,
};

use loophost::Fd;

use crate::{
    event_loop::{Loop, ran},
    scenarios::{Scenarios, named},
    stage::{new_loop, nothing, repeat},
    trace::note_call,
};

pub(crate) const PLAIN: Scenarios = named![
    reader,
    replaced_reader,
    removed_reader,
    reader_removes_itself,
    reader_and_writer,
    reader_at_the_end,
    reader_before_callbacks,
    reader_of_a_file,
    reader_of_no_descriptor,
];

/// A loop and two connected sockets.
pub(crate) struct Sockets {
    pub(crate) event_loop: Loop,
    ours: Arc<UnixStream>,
    theirs: UnixStream,
}

impl Sockets {
    pub(crate) fn new() -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        Self { event_loop: Loop::new(), ours: Arc::new(ours), theirs }
    }

    pub(crate) fn fd(&self) -> Fd {
        self.ours.as_raw_fd().into()
    }

    /// Gives us something to read.
    pub(crate) fn send(&mut self) {
        self.theirs.write_all(b"x").unwrap();
    }

    fn add_reader(&self, f: impl FnMut() + Send + 'static) {
        self.event_loop.0.add_reader(self.fd(), repeat(f)).unwrap();
    }

    fn add_writer(&self, f: impl FnMut() + Send + 'static) {
        self.event_loop.0.add_writer(self.fd(), repeat(f)).unwrap();
    }

    /// A reader or writer that notes its call and ends the run.
    fn last(&self, value: &'static str) -> impl FnMut() + Send + use<> {
        let this = self.event_loop.clone();
        move || {
            ran(value);
            this.stop();
        }
    }
}

fn reader() {
    let mut sockets = Sockets::new();
    let (this, ours, mut calls) = (sockets.event_loop.clone(), sockets.ours.clone(), 0);
    sockets.add_reader(move || {
        calls += 1;
        ran("reader");
        if calls == 3 {
            (&*ours).read_exact(&mut [0]).unwrap();
            let stop = this.clone();
            this.soon(move || stop.stop());
        }
    });
    sockets.send();
    sockets.event_loop.run();
}

fn replaced_reader() {
    let mut sockets = Sockets::new();
    sockets.add_reader(|| ran("first"));
    sockets.add_reader(sockets.last("second"));
    sockets.send();
    sockets.event_loop.run();
}

fn removed_reader() {
    let mut sockets = Sockets::new();
    sockets.send();
    sockets.add_reader(|| ran("reader"));
    let (event_loop, fd) = (&sockets.event_loop.0, sockets.fd());
    note_call("remove_reader", event_loop.remove_reader(fd));
    note_call("remove_reader", event_loop.remove_reader(fd));
    note_call("remove_writer", event_loop.remove_writer(fd));
    sockets.event_loop.run_a_turn();
}

fn reader_removes_itself() {
    let mut sockets = Sockets::new();
    let (this, fd) = (sockets.event_loop.clone(), sockets.fd());
    sockets.add_reader(move || {
        ran("reader");
        note_call("remove_reader", this.0.remove_reader(fd));
        let that = this.clone();
        let writable = repeat(move || {
            ran("writer");
            note_call("remove_writer", that.0.remove_writer(fd));
            that.stop();
        });
        this.0.add_writer(fd, writable).unwrap();
    });
    sockets.send();
    sockets.event_loop.run();
}

fn reader_and_writer() {
    let mut sockets = Sockets::new();
    sockets.add_writer(sockets.last("writer"));
    sockets.add_reader(|| ran("reader"));
    sockets.send();
    sockets.event_loop.run();
}

fn reader_at_the_end() {
    let sockets = Sockets::new();
    sockets.theirs.shutdown(Shutdown::Write).unwrap();
    sockets.add_reader(sockets.last("reader"));
    sockets.event_loop.run();
}

fn reader_before_callbacks() {
    let mut sockets = Sockets::new();
    sockets.send();
    sockets.add_reader(|| ran("reader"));
    let event_loop = &sockets.event_loop;
    event_loop.at(event_loop.0.time(), -1000, || ran("timer"));
    event_loop.ran_soon("soon");
    event_loop.run_a_turn();
}

fn reader_of_a_file() {
    let file = tempfile::tempfile().unwrap();
    note_call("add_reader", new_loop().add_reader(file.as_raw_fd().into(), nothing()));
}

fn reader_of_no_descriptor() {
    let closed = Fd::from(File::open("/dev/null").unwrap().as_raw_fd());
    let event_loop = new_loop();
    // The loop has taken numbers since then, so one that nobody can have.
    let closed = closed.max(1_000_000);
    note_call("add_reader", event_loop.add_reader(closed, nothing()));
    note_call("add_reader", event_loop.add_reader(-1, nothing()));
    note_call("remove_reader", event_loop.remove_reader(closed));
}
