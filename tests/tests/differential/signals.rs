//! Signal handlers of an event loop.

use loophost::policy;
use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, fork, getpid},
};

use crate::{
    event_loop::{Loop, ran},
    scenarios::{Scenarios, named},
    stage::{in_a_thread, new_loop, nothing, repeat},
    trace::{note, note_call, note_value},
};

pub(crate) const PLAIN: Scenarios = named![
    signal_handler,
    replaced_signal_handler,
    removed_signal_handler,
    signal_that_cannot_be_caught,
    number_that_is_no_signal,
    signal_handler_in_another_thread,
];

pub(crate) const SIGNAL: i32 = libc::SIGUSR1;

pub(crate) fn raise() {
    kill(getpid(), Signal::SIGUSR1).unwrap();
}

fn signal_handler() {
    let event_loop = Loop::new();
    let this = event_loop.clone();
    let handler = repeat(move || {
        ran("handler");
        note_value("running", policy::get_running_loop().unwrap().same(&this.0));
        this.stop();
    });
    event_loop.0.add_signal_handler(SIGNAL, handler).unwrap();
    raise();
    note("sent");
    event_loop.run();
}

fn replaced_signal_handler() {
    let event_loop = Loop::new();
    let this = event_loop.clone();
    event_loop.0.add_signal_handler(SIGNAL, repeat(|| ran("first"))).unwrap();
    let second = repeat(move || {
        ran("second");
        this.stop();
    });
    event_loop.0.add_signal_handler(SIGNAL, second).unwrap();
    raise();
    event_loop.run();
}

fn removed_signal_handler() {
    let event_loop = new_loop();
    event_loop.add_signal_handler(SIGNAL, nothing()).unwrap();
    note_call("remove_signal_handler", event_loop.remove_signal_handler(SIGNAL));
    note_call("remove_signal_handler", event_loop.remove_signal_handler(SIGNAL));
    // SAFETY: the child sends itself a signal and leaves by `_exit`.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            raise();
            // SAFETY: ends the child without running anything of the parent's.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => match waitpid(child, None).unwrap() {
            WaitStatus::Signaled(_, signal, _) => note_value("killed by", signal as i32),
            other => panic!("{other:?}"),
        },
    }
}

fn signal_that_cannot_be_caught() {
    let event_loop = new_loop();
    for signal in [libc::SIGKILL, libc::SIGSTOP] {
        note_call("add_signal_handler", event_loop.add_signal_handler(signal, nothing()));
    }
}

fn number_that_is_no_signal() {
    let event_loop = new_loop();
    for number in [0, -1, 1000] {
        note_call("add_signal_handler", event_loop.add_signal_handler(number, nothing()));
        note_call("remove_signal_handler", event_loop.remove_signal_handler(number));
    }
}

fn signal_handler_in_another_thread() {
    in_a_thread(|| note_call("add_signal_handler", new_loop().add_signal_handler(SIGNAL, nothing())));
}
