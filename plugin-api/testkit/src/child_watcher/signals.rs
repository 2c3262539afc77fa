//! SIGCHLD in the hands of others.

use super::WatcherBench;
use crate::{
    Case, Disturbance, Program, Verdict, exits::Exits, signal_number::SIGCHLD, test_watcher::TestWatcher,
    verdict::Passed,
};

pub(super) const CASES: &[Case] = &[
    Case::child_watcher(
        "watcher/keeps-signals",
        "a watcher at work leaves the mask and the dispositions of signals alone; SIGCHLD's is the host's",
        keeps_signals,
    ),
    Case::child_watcher(
        "watcher/sigchld-ignored",
        "with SIGCHLD ignored by somebody else children are reported, if only with 255",
        sigchld_ignored,
    ),
    Case::child_watcher(
        "watcher/sigchld-blocked",
        "with SIGCHLD blocked in the loop's thread children are reported",
        sigchld_blocked,
    ),
    Case::child_watcher(
        "watcher/sigchld-handler-replaced",
        "with another handler in the place of SIGCHLD's children are reported",
        sigchld_handler_replaced,
    ),
];

fn keeps_signals(bench: &WatcherBench<'_>) -> Verdict {
    // Without SIGCHLD's disposition: the host has changed it if the watcher wants to be told of it.
    let signals = || -> Verdict<_> {
        let mut state = bench.harness.system_state()?;
        state.signals.remove(&format!("signal {SIGCHLD}"));
        Ok(state)
    };
    let before = signals()?;
    let watcher = bench.watcher()?;
    watcher.settle()?;
    signals()?.same_signals(&before)?;
    watcher.close()?;
    signals()?.same_signals(&before)?;
    Ok(Passed)
}

/// asyncio: 255 in Threaded and Pidfd, the right code in Safe, which ends the ignoring.
fn sigchld_ignored(bench: &WatcherBench<'_>) -> Verdict {
    let watcher = bench.watcher()?;
    let _ignored = bench.harness.disturb_signal(SIGCHLD, Disturbance::Ignored)?;
    let exits = Exits::default();
    let mut child = watcher.start(&Program::waiting("exit 3"), &exits)?;
    drop(child.take_stdin());
    watcher.wait_for(&*child, &exits)?;
    exits.expect_lost_or(child.pid(), 3)?;
    Ok(Passed)
}

fn sigchld_blocked(bench: &WatcherBench<'_>) -> Verdict {
    let watcher = bench.watcher()?;
    let _blocked = bench.harness.disturb_signal(SIGCHLD, Disturbance::Blocked)?;
    reports(&watcher)
}

fn sigchld_handler_replaced(bench: &WatcherBench<'_>) -> Verdict {
    let watcher = bench.watcher()?;
    watcher.settle()?;
    let _replaced = bench.harness.disturb_signal(SIGCHLD, Disturbance::HandlerReplaced)?;
    reports(&watcher)
}

fn reports(watcher: &TestWatcher<'_>) -> Verdict {
    let exits = Exits::default();
    let mut child = watcher.start(&Program::waiting("exit 3"), &exits)?;
    drop(child.take_stdin());
    watcher.wait_for(&*child, &exits)?;
    exits.expect(child.pid(), 3)?;
    Ok(Passed)
}
