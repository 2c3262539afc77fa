//! `submit`: operations that end with an event.

mod cancelling;
mod closing;
mod refusals;
mod sockets;
mod submitted;
mod transfers;
mod waiting;

use loophost_plugin_api::{Capabilities, Error, HandleId, LoopHandle, Op, OpCode, RepeatCallback};

use super::LoopBench;
use crate::{
    Case,
    test_loop::TestLoop,
    verdict::{Verdict, skipped},
};

pub(super) fn cases() -> impl Iterator<Item = &'static [Case]> {
    [transfers::CASES, sockets::CASES, waiting::CASES, cancelling::CASES, closing::CASES, refusals::CASES]
        .into_iter()
}

/// What the system says, by its numbers on Linux, where there are loops with operations.
mod errno {
    pub(super) const EBADF: i64 = 9;
    pub(super) const EPIPE: i64 = 32;
    pub(super) const ECONNRESET: i64 = 104;
    pub(super) const ECONNREFUSED: i64 = 111;
    pub(super) const ECANCELED: i64 = 125;
}

/// A loop that has these operations; without them the case is skipped.
fn event_loop_with(bench: &LoopBench<'_>, codes: &[OpCode]) -> Verdict<TestLoop> {
    let event_loop = bench.event_loop()?;
    event_loop.requires(Capabilities::COMPLETION, "COMPLETION")?;
    match codes.iter().find(|code| !event_loop.supports(**code)) {
        Some(code) => Err(skipped(format!("not supported: the loop has no operation {}", code.0))),
        None => Ok(event_loop),
    }
}

/// Submits an operation that does nothing.
pub(super) fn submit_nop(event_loop: &LoopHandle) -> Result<HandleId, Error> {
    submitted::submit_bare(event_loop, Op::new(OpCode::NOP, -1), RepeatCallback::new(|_| Ok(())))
}
