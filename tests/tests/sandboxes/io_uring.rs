//! Where io_uring is forbidden: the policy `uring` says so, and does not run unless it may fall back.

use libc::{EMFILE, ENOMEM, ENOSYS, EPERM};
use loophost_tests::{Plugins, io_uring_works};

use crate::{
    promise::{Options, args, batch, kept, refused},
    sandbox::{Sandbox, filters_work},
};

/// The system calls of rings, but registering: a filter that knows one of them knows all.
const CALLS: [i64; 2] = [libc::SYS_io_uring_setup, libc::SYS_io_uring_enter];

fn plugins() -> Plugins {
    Plugins::of(&["loophost-uring"])
}

fn on_uring(plugins: &Plugins, more: &[&str]) -> Options {
    let mut options: Options = vec!["--plugin-path".into(), plugins.folder().into()];
    options.extend(["--policy", "uring"].iter().chain(more).map(Into::into));
    options
}

/// `run` and `batch` start nothing, and say this.
fn is_refused(sandbox: &Sandbox, options: &Options, words: &[&str]) {
    for args in [args("run", options, &["echo", "started"]), batch(options)] {
        let ended = sandbox.run(&args);
        let message = refused(&ended, &format!("{args:?}"));
        assert!(words.iter().all(|word| message.contains(word)), "{args:?}: {message}");
        assert_eq!(ended.stdout, "", "{args:?} has started something");
    }
}

#[test]
fn where_rings_are_forbidden_the_reason_is_told_or_the_default_runs() {
    if !filters_work() || !io_uring_works() {
        return;
    }
    let plugins = plugins();
    let sandbox = Sandbox::new;
    let not_available = "io_uring is not available here, because";
    for call in CALLS {
        for (sandbox, reason) in [
            (sandbox().refusing(call, EPERM), "a sandbox forbids it (Operation not permitted"),
            (sandbox().refusing(call, ENOSYS), "this kernel has none, or a seccomp filter hides it"),
            (sandbox().killing(call), "a seccomp filter kills whoever uses it (signal 31)"),
        ] {
            is_refused(&sandbox, &on_uring(&plugins, &[]), &[not_available, reason, "uring"]);
            for warned in kept(&sandbox, &on_uring(&plugins, &["--fallback"])) {
                assert!(warned.contains(not_available) && warned.contains(reason), "{warned}");
            }
        }
    }
    let register = sandbox().refusing(libc::SYS_io_uring_register, EPERM);
    is_refused(&register, &on_uring(&plugins, &[]), &[not_available, "a sandbox forbids it"]);
}

/// It is there, and something else is short: not a reason to say that it is not available.
#[test]
fn what_a_ring_is_short_of_is_named() {
    if !filters_work() || !io_uring_works() {
        return;
    }
    let plugins = plugins();
    for (errno, words) in [(ENOMEM, "Cannot allocate memory"), (EMFILE, "Too many open files")] {
        let sandbox = Sandbox::new().refusing(libc::SYS_io_uring_setup, errno);
        let options = on_uring(&plugins, &["--policy-opt", "entries=8"]);
        is_refused(&sandbox, &options, &["making a ring of 8 entries", words]);
        let ended = sandbox.run(args("run", &options, &["true"]));
        assert!(!ended.stderr.contains("not available"), "{}", ended.stderr);
    }
}

#[test]
fn rings_need_none_of_what_other_loops_do() {
    if !filters_work() || !io_uring_works() {
        return;
    }
    let plugins = plugins();
    for call in [libc::SYS_epoll_create1, libc::SYS_epoll_ctl] {
        let sandbox = Sandbox::new().refusing(call, EPERM);
        assert_eq!(kept(&sandbox, &on_uring(&plugins, &[])), ["", ""], "{call}");
    }
}
