//! Names for what a loop holds.

use abi_stable::StableAbi;

/// Names one callback, timer, stream, operation or subscription of the object that gave it (asyncio: `Handle`).
///
/// Ids are never given twice by one object, so a stale id names nothing; and 0 is never given, so it may stand for "none".
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct HandleId(pub u64);
