//! Descriptors that libuv alone would end the process for, or change.

use std::{
    fs::File,
    io::{Write, pipe},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use loophost::{ErrorCode, Fd, Interest};
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::{Count, in_a_child, new_loop, turn, turns_until};

fn fd(file: &impl AsRawFd) -> Fd {
    file.as_raw_fd().into()
}

#[test]
fn a_regular_file_is_refused() {
    let Some(event_loop) = new_loop() else { return };
    let file = File::open("/etc/passwd").unwrap();
    let count = Count::default();
    for result in [
        event_loop.add_reader(fd(&file), count.callback()),
        event_loop.watch_io(fd(&file), Interest::READ, count.callback()).map(drop),
    ] {
        let error = result.unwrap_err();
        assert_eq!((error.code(), error.os_errno()), (ErrorCode::OS, Some(libc::EPERM)), "{error}");
    }
    assert_eq!(count.live(), 0);
    event_loop.close().unwrap();
}

/// libuv tells the kernel of a descriptor when it waits, and aborts if the kernel refuses it by then.
#[test]
fn a_descriptor_that_is_closed_while_it_is_watched_is_reported() {
    if new_loop().is_none() {
        return;
    }
    // No other test takes the number there.
    in_a_child(|| {
        let event_loop = new_loop().unwrap();
        let (reported, called) = (Count::default(), Count::default());
        event_loop.set_exception_handler(Some(reported.callback())).unwrap();
        let (near, _far) = UnixStream::pair().unwrap();
        let number = fd(&near);
        event_loop.add_reader(number, called.callback()).unwrap();
        drop(near);
        turn(&event_loop);
        turn(&event_loop);
        assert_eq!((reported.get(), called.get()), (1, 0));
        assert!(event_loop.remove_reader(number).unwrap(), "it is still the loop's");
        event_loop.close().unwrap();
    });
}

/// As above, and the number is by then one that cannot be watched at all.
#[test]
fn a_number_that_becomes_a_regular_file_is_reported() {
    let Some(event_loop) = new_loop() else { return };
    let (reported, called) = (Count::default(), Count::default());
    event_loop.set_exception_handler(Some(reported.callback())).unwrap();
    for is_stream in [false, true] {
        let (near, _far) = UnixStream::pair().unwrap();
        let number = fd(&near);
        let mut id = None;
        if is_stream {
            id = Some(event_loop.watch_io(number, Interest::READ, called.callback()).unwrap());
        } else {
            event_loop.add_reader(number, called.callback()).unwrap();
        }
        // The number is never free for another test to take.
        let mut number_of_near = OwnedFd::from(near);
        nix::unistd::dup2(File::open("/etc/passwd").unwrap(), &mut number_of_near).unwrap();
        turn(&event_loop);
        turn(&event_loop);
        match id {
            Some(id) => assert!(event_loop.unwatch_io(id).unwrap()),
            None => {
                assert!(event_loop.add_writer(number, called.callback()).is_err());
                assert!(event_loop.remove_reader(number).unwrap());
            }
        }
    }
    assert_eq!((reported.get(), called.get(), called.live()), (2, 0, 0));
    event_loop.close().unwrap();
}

/// libuv stops watching what has an error; a reader or writer is called in each turn all the same.
#[test]
fn an_error_is_told_again_and_again() {
    let Some(event_loop) = new_loop() else { return };
    let (reader, writer) = pipe().unwrap();
    let count = Count::default();
    event_loop.add_writer(fd(&writer), count.callback()).unwrap();
    drop(reader);
    turns_until(&event_loop, "three calls of a writer that nobody reads from", || count.get() >= 3);
    assert!(event_loop.remove_writer(fd(&writer)).unwrap());

    let (reader, writer) = pipe().unwrap();
    let count = Count::default();
    let id = event_loop.watch_io(fd(&writer), Interest::WRITE, count.callback()).unwrap();
    drop(reader);
    for round in 1..=3 {
        turns_until(&event_loop, "the event of a stream", || count.get() == round);
        turn(&event_loop);
        assert_eq!(count.get(), round, "it is told once");
        event_loop.rearm_io(id, Interest::WRITE).unwrap();
    }
    event_loop.close().unwrap();
}

/// libuv makes what it watches non-blocking, for everybody who has the same file open.
#[test]
fn a_descriptor_stays_as_blocking_as_it_was() {
    let Some(event_loop) = new_loop() else { return };
    for is_blocking in [true, false] {
        let (near, _far) = UnixStream::pair().unwrap();
        near.set_nonblocking(!is_blocking).unwrap();
        event_loop.add_reader(fd(&near), Count::default().callback()).unwrap();
        turn(&event_loop);
        let flags = OFlag::from_bits_retain(fcntl(&near, FcntlArg::F_GETFL).unwrap());
        assert_eq!(flags.contains(OFlag::O_NONBLOCK), !is_blocking);
        event_loop.remove_reader(fd(&near)).unwrap();
    }
    event_loop.close().unwrap();
}

/// libuv's own descriptors are not for others to watch.
#[test]
fn a_descriptor_of_libuv_s_is_refused() {
    let Some(event_loop) = new_loop() else { return };
    turn(&event_loop);
    let epoll = event_loop.poll_handle().unwrap();
    let count = Count::default();
    assert!(event_loop.add_reader(epoll, count.callback()).is_err());
    assert_eq!(count.live(), 0);
    let (mut near, far) = UnixStream::pair().unwrap();
    near.write_all(b"x").unwrap();
    event_loop.add_reader(fd(&far), count.callback()).unwrap();
    turns_until(&event_loop, "a reader, for the loop is as it was", || count.get() > 0);
    event_loop.close().unwrap();
}
