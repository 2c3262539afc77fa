//! Debug mode: slow callbacks are reported by name, and `close` says what was left.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{thread, time::Duration};

use loophost::{Callback, LoopHandle, Options, PolicyHandle, plugin, policy::DefaultEventLoopPolicy};
use loophost_tests::{LogLines, can_run};

fn lines_of(event_loop: &LoopHandle, lines: &LogLines, debug: bool) -> String {
    lines.take();
    event_loop.set_debug(debug).unwrap();
    event_loop
        .call_soon(Callback::new(|_| {
            thread::sleep(Duration::from_millis(101));
            Ok(())
        }))
        .unwrap();
    event_loop.run_once(Some(Duration::ZERO)).unwrap();
    event_loop.call_at(u64::MAX, Callback::new(|_| Ok(()))).unwrap();
    event_loop.call_soon(Callback::new(|_| Ok(()))).unwrap();
    event_loop.close().unwrap();
    lines.take()
}

#[test]
fn slow_callbacks_and_leaks_are_reported_in_debug_mode_only() {
    let lines = LogLines::keep();

    let default = PolicyHandle::new(DefaultEventLoopPolicy::new());
    let loaded =
        ["loophost-poll", "loophost-libuv"].into_iter().filter(|package| can_run(package)).map(|package| {
            let plugin = plugin::load(&loophost_tests::cdylib(package), &loophost_tests::trust()).unwrap();
            plugin.new_policy(None, &Options::new(), Some(default.clone())).unwrap()
        });
    for policy in [default.clone()].into_iter().chain(loaded) {
        let text = lines_of(&policy.new_event_loop().unwrap(), &lines, true);
        assert!(text.contains("WARN") && text.contains("executing debug_mode::lines_of::"), "{text}");
        assert!(text.contains("closed with 1 callbacks, 1 timers left"), "{text}");
        let text = lines_of(&policy.new_event_loop().unwrap(), &lines, false);
        assert!(!text.contains("executing") && !text.contains("left"), "{text}");
    }
}
