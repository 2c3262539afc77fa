//! Which C library this is.

/// `glibc 2.36`; `None` for another C library.
pub(crate) fn get() -> Option<String> {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: glibc gives a static string that ends with a zero byte.
        let version = unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) };
        Some(format!("glibc {}", version.to_string_lossy()))
    }
    #[cfg(not(target_env = "gnu"))]
    None
}
