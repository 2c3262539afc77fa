//! Waiting for what must come.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Longer than anything takes on the busiest machine.
const DEADLINE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(2);

/// Asks again and again, and gives the first answer.
///
/// # Panics
/// There is none in two minutes. `what` says what was waited for.
pub fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    eventually_or(ask, || what.to_owned())
}

/// The same, with a message that is made when it is needed.
pub(crate) fn eventually_or<T>(mut ask: impl FnMut() -> Option<T>, what: impl FnOnce() -> String) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        if start.elapsed() > DEADLINE {
            panic!("waited in vain for {}", what());
        }
        thread::sleep(PAUSE);
    }
}
