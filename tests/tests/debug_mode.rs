//! Debug mode: slow callbacks are reported by name, and `close` says what was left.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    io,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use loophost::{Callback, LoopHandle, Options, PolicyHandle, plugin, policy::DefaultEventLoopPolicy};

/// What was logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lines_of(event_loop: &LoopHandle, lines: &Lines, debug: bool) -> String {
    lines.0.lock().unwrap().clear();
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
    String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
}

#[test]
fn slow_callbacks_and_leaks_are_reported_in_debug_mode_only() {
    let lines = Lines::default();
    let writer = lines.clone();
    tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).init();

    let default = PolicyHandle::new(DefaultEventLoopPolicy::new());
    let plugin = plugin::load(&loophost_tests::cdylib("loophost-poll"), &loophost_tests::trust()).unwrap();
    let poll = plugin.new_policy(None, &Options::new(), Some(default.clone())).unwrap();
    for policy in [default, poll] {
        let text = lines_of(&policy.new_event_loop().unwrap(), &lines, true);
        assert!(text.contains("WARN") && text.contains("executing debug_mode::lines_of::"), "{text}");
        assert!(text.contains("closed with 1 callbacks, 1 timers left"), "{text}");
        let text = lines_of(&policy.new_event_loop().unwrap(), &lines, false);
        assert!(!text.contains("executing") && !text.contains("left"), "{text}");
    }
}
