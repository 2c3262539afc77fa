//! The C library's heap.

use std::collections::TryReserveError;

/// What the heap has beyond what is used, from the beginning. What is not touched costs nothing.
const RESERVE: usize = 1 << 20;

/// Sees to it that small things find memory as long as big ones do: no memory for a thread's stack or a plugin is an error
/// with a message, but none for a few bytes is the end of the process, in Rust as in the C library.
///
/// # Errors
/// There is no memory for that either.
pub(crate) fn reserve() -> Result<(), TryReserveError> {
    #[cfg(target_env = "gnu")]
    // SAFETY: both change numbers in the allocator, and there are no other threads yet.
    unsafe {
        // In an arena of its own, for which there may be no address space, a thread would have a mapping for each block.
        libc::mallopt(libc::M_ARENA_MAX, 1);
        // By so much more the heap grows, and so much it keeps.
        libc::mallopt(libc::M_TOP_PAD, RESERVE as i32);
    }
    // In pieces, for a large one would get a mapping of its own.
    const PIECE: usize = 64 * 1024;
    let mut pieces = [const { Vec::<u8>::new() }; RESERVE / PIECE];
    pieces.iter_mut().try_for_each(|piece| piece.try_reserve_exact(PIECE))
}
