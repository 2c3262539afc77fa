//! An event loop inside of somebody else's, which here is a poll(2) over standard input: the one counts the lines that come,
//! the other ticks meanwhile.
//!
//! ```text
//! embed-in-poll
//! ```

use std::{
    error::Error,
    io::{self, BufRead},
    os::fd::{AsFd, BorrowedFd, RawFd},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use loophost::{Callback, LoopHandle, policy};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

const TICK: Duration = Duration::from_millis(10);

fn main() -> Result<(), Box<dyn Error>> {
    loophost::install_from_env()?;
    let event_loop = policy::new_event_loop()?;
    let ticks = Arc::new(AtomicU64::new(0));
    start_ticking(&event_loop, ticks.clone())?;

    let mut stdin = io::BufReader::new(io::stdin());
    let mut lines = 0;
    loop {
        let handle = RawFd::try_from(event_loop.poll_handle()?)?;
        // SAFETY: the loop keeps the descriptor open until it is closed, at the end of this function.
        let handle = unsafe { BorrowedFd::borrow_raw(handle) };
        let input = stdin.get_ref().as_fd();
        let mut descriptors = [PollFd::new(input, PollFlags::POLLIN), PollFd::new(handle, PollFlags::POLLIN)];
        poll(&mut descriptors, until_deadline(&event_loop)?)?;
        let has_input = descriptors[0].any() == Some(true);
        event_loop.run_once(Some(Duration::ZERO))?;
        if has_input {
            // All lines that came with it: poll knows nothing of what the buffer holds.
            loop {
                if stdin.read_line(&mut String::new())? == 0 {
                    println!(
                        "{lines} lines; ticks: {}",
                        if ticks.load(Relaxed) > 0 { "yes" } else { "none" }
                    );
                    event_loop.close()?;
                    return Ok(());
                }
                lines += 1;
                if stdin.buffer().is_empty() {
                    break;
                }
            }
        }
    }
}

/// How long the other loop may wait before this one has to run.
fn until_deadline(event_loop: &LoopHandle) -> Result<PollTimeout, Box<dyn Error>> {
    let deadline = event_loop.next_deadline()?;
    if deadline == u64::MAX {
        return Ok(PollTimeout::NONE);
    }
    let left = Duration::from_nanos(deadline.saturating_sub(event_loop.time()));
    // Rounded up: a millisecond too early would be a turn for nothing.
    let ms = left.as_nanos().div_ceil(1_000_000);
    Ok(PollTimeout::try_from(u64::try_from(ms)?).unwrap_or(PollTimeout::MAX))
}

fn start_ticking(event_loop: &LoopHandle, ticks: Arc<AtomicU64>) -> Result<(), loophost::Error> {
    let again = event_loop.clone();
    let tick = Callback::new(move |_| {
        ticks.fetch_add(1, Relaxed);
        start_ticking(&again, ticks)
    });
    event_loop.call_later(TICK, tick).map(drop)
}
