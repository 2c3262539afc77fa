//! What a loop says of itself.

use std::{ffi::c_void, ptr};

use loophost_plugin_api::{
    Capabilities, ErrorCode, EventLoop, ExtensionHead, LoopHandle, Op, OpCode, RepeatCallback, Stat,
};

use super::{LoopBench, fd, pair};
use crate::{
    Case, Verdict,
    record::Record,
    signal_number::SIGURG,
    verdict::{Passed, ensure, equal, failed, refused},
};

pub(super) const CASES: &[Case] = &[
    Case::event_loop(
        "loop/capabilities-are-honest",
        "what the capabilities name works, and what they do not name is NOT_SUPPORTED",
        capabilities_are_honest,
    ),
    Case::event_loop(
        "loop/unknown-is-refused",
        "unknown operations, figures and extensions are refused",
        unknown_is_refused,
    ),
    Case::event_loop(
        "loop/extension-of-subclass",
        "a subclass of the loop has its own extension, and no other than the loop's",
        extension_of_subclass,
    ),
    Case::event_loop("loop/has-name", "the loop has a name", has_name),
    Case::event_loop("loop/debug-mode", "in debug mode the loop does the same", debug_mode),
];

fn capabilities_are_honest(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = bench.event_loop()?;
    let capabilities = event_loop.capabilities();
    let (near, _far) = pair()?;
    let repeat = || RepeatCallback::new(|_| Ok(()));
    let op = Op::new(OpCode(0), -1);
    let claims = [
        ("READINESS", Capabilities::READINESS, event_loop.add_reader(fd(&near), repeat())),
        ("SIGNALS", Capabilities::SIGNALS, event_loop.add_signal_handler(SIGURG, repeat())),
        ("EMBEDDABLE", Capabilities::EMBEDDABLE, event_loop.poll_handle().map(drop)),
    ];
    for (name, bit, result) in claims {
        match (capabilities & bit != 0, result) {
            (true, Ok(())) => {}
            (true, Err(error)) => return Err(failed(format!("{name} is named, and does not work: {error}"))),
            (false, result) => {
                refused(&format!("{name}, which is not named"), result, ErrorCode::NOT_SUPPORTED)?
            }
        }
    }
    if capabilities & Capabilities::COMPLETION == 0 {
        ensure!(!event_loop.supports(op.code), "COMPLETION is not named, and an operation is supported");
    }
    Ok(Passed)
}

/// The loop with an extension, whose table has nothing but its beginning.
struct Extended(LoopHandle);

impl Extended {
    const ID: &'static str = "loophost-testkit.nothing/1";
    const TABLE: &'static ExtensionHead = &ExtensionHead::of_no_object::<ExtensionHead>();
}

impl EventLoop for Extended {
    fn base(&self) -> Option<LoopHandle> {
        Some(self.0.clone())
    }

    fn extension(&self, id: &str) -> *const c_void {
        if id == Self::ID { ptr::from_ref(Self::TABLE).cast() } else { self.0.extension(id) }
    }
}

fn extension_of_subclass(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = bench.event_loop()?;
    let extended = LoopHandle::new(Extended((*event_loop).clone()));
    let own = ptr::from_ref(Extended::TABLE).cast();
    equal("its own extension", extended.extension(Extended::ID), own)?;
    let others = "loophost-testkit.nothing/2";
    equal("another one", extended.extension(others), event_loop.extension(others))?;
    ensure!(event_loop.extension(Extended::ID).is_null(), "the loop has the extension of its subclass");
    Ok(Passed)
}

fn unknown_is_refused(bench: &LoopBench<'_>) -> Verdict {
    let event_loop = bench.event_loop()?;
    // The last that are not a plugin's own.
    let (operation, figure) = (OpCode(u32::MAX >> 1), Stat(u32::MAX >> 1));
    ensure!(!event_loop.supports(operation), "it supports an operation that there is not");
    let nothing = event_loop.extension("loophost.no-such-extension/1");
    ensure!(nothing.is_null(), "it has a table for an extension that there is not");
    let unknown = event_loop.stat(figure);
    equal("a figure that there is not", unknown, None)?;
    Ok(Passed)
}

fn has_name(bench: &LoopBench<'_>) -> Verdict {
    let name = bench.event_loop()?.name();
    ensure!(!name.is_empty() && name != "?", "the name is {name:?}");
    Ok(Passed)
}

fn debug_mode(bench: &LoopBench<'_>) -> Verdict {
    let (event_loop, record) = (bench.event_loop()?, Record::default());
    event_loop.set_debug(true)?;
    event_loop.call_soon(record.callback("first"))?;
    event_loop.call_soon_threadsafe(record.callback("second"))?;
    event_loop.call_at(0, record.callback("third"))?;
    event_loop.turn()?;
    record.expect(["first", "second", "third"])?;
    event_loop.set_debug(false)?;
    Ok(Passed)
}
