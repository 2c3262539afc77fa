//! A turn for the others.

use std::{future::poll_fn, task::Poll};

/// Lets the loop do everything else that is due before this task goes on (asyncio: `sleep(0)`). For work that takes long
/// and can be split; what cannot belongs into [`spawn_blocking`](super::spawn_blocking).
///
/// ```
/// use std::{cell::Cell, rc::Rc};
///
/// loophost::run(async {
///     let done = Rc::new(Cell::new(false));
///     let theirs = done.clone();
///     loophost::spawn_local(async move { theirs.set(true) });
///     assert!(!done.get());
///     loophost::task::yield_now().await;
///     assert!(done.get());
/// })?;
/// # Ok::<(), loophost::Error>(())
/// ```
pub async fn yield_now() {
    let mut has_yielded = false;
    poll_fn(|cx| {
        if has_yielded {
            return Poll::Ready(());
        }
        has_yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
