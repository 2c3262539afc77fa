//! What the kernel tells a program when it starts it.

/// Whether the program has more rights than the user who started it (set-user-id, set-group-id, file capabilities):
/// what comes from that user's environment must not be trusted then. See getauxval(3), `AT_SECURE`.
pub(crate) fn is_secure() -> bool {
    // SAFETY: getauxval only reads a table that the kernel has written before the program started.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}
