//! A future that lives on the stack and is polled by a callback of a loop, which may hold nothing that it has borrowed.

use std::{
    cell::Cell,
    pin::Pin,
    ptr::NonNull,
    task::{Context, Poll},
};

/// The future that this thread's run is for, lent for the time of [`lend`].
type Place = Cell<Option<NonNull<dyn Future<Output = ()>>>>;

thread_local! {
    static PLACE: Place = const { Cell::new(None) };
}

/// Runs `f`, during which [`poll`] in this thread polls `future`.
pub(crate) fn lend<R>(future: Pin<&mut (dyn Future<Output = ()> + '_)>, f: impl FnOnce() -> R) -> R {
    /// Ends the loan, also when `f` panics.
    struct Restore(Option<NonNull<dyn Future<Output = ()>>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            PLACE.set(self.0);
        }
    }
    // SAFETY: the future stays pinned: whoever gets the pointer is `poll`, which pins it again.
    let future: NonNull<dyn Future<Output = ()> + '_> = NonNull::from(unsafe { future.get_unchecked_mut() });
    // SAFETY: only the lifetime changes. The pointer is gone from `PLACE` when `_restore` is dropped, before the borrow
    // ends; and `poll` takes it out while it uses it, in this thread, inside of `f`.
    let future: NonNull<dyn Future<Output = ()>> = unsafe { std::mem::transmute(future) };
    let _restore = Restore(PLACE.replace(Some(future)));
    f()
}

/// Polls the future that is lent. `Pending` if there is none, if it is being polled, or if it was ready before.
pub(crate) fn poll(cx: &mut Context<'_>) -> Poll<()> {
    let Some(mut future) = PLACE.take() else { return Poll::Pending };
    // SAFETY: `lend` is under way further up this stack and has the only reference; while the pointer is out of `PLACE`
    // nobody else makes one of it. It was pinned when it was lent.
    let poll = unsafe { Pin::new_unchecked(future.as_mut()) }.poll(cx);
    if poll.is_pending() {
        PLACE.set(Some(future));
    }
    poll
}
