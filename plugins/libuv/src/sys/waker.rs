//! Waking a loop from any thread.

use std::{
    ptr::NonNull,
    sync::{Arc, Mutex, PoisonError},
};

use super::library::{HandleHead, Library};

/// A `uv_async_t`, until its loop is closed.
pub(crate) struct Waker {
    library: Arc<Library>,
    handle: Mutex<Option<NonNull<HandleHead>>>,
}

// SAFETY: `uv_async_send` may be called in any thread; the lock keeps the handle alive meanwhile.
unsafe impl Send for Waker {}
// SAFETY: as above.
unsafe impl Sync for Waker {}

impl Waker {
    pub(super) fn new(library: Arc<Library>, handle: NonNull<HandleHead>) -> Self {
        Self { library, handle: Mutex::new(Some(handle)) }
    }

    /// Ends the loop's wait, or the next one. libuv makes one write of however many calls come before it looks.
    pub(crate) fn wake(&self) {
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = *handle {
            // SAFETY: the handle is not closed before it is taken out, under the lock.
            unsafe { (self.library.functions.uv_async_send)(handle.as_ptr()) };
        }
    }

    /// Takes the handle to be closed; from now on nobody is woken.
    pub(super) fn take(&self) -> Option<NonNull<HandleHead>> {
        self.handle.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
