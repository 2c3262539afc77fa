//! Panics stop here: every body that runs on behalf of the other side goes through a guard.

use std::{
    any::Any,
    cell::RefCell,
    panic::{self, AssertUnwindSafe, PanicHookInfo},
};

use crate::{AbiResult, Error, ErrorCode};

/// Runs `f`; a panic becomes [`ErrorCode::PANICKED`] with the panic's message and place.
#[inline]
pub fn guard<T>(f: impl FnOnce() -> Result<T, Error>) -> AbiResult<T> {
    match panic::catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => result.into(),
        Err(payload) => Err(panicked(payload)).into(),
    }
}

/// For methods that cannot fail: a panic is logged and gives `fallback`.
#[inline]
pub(crate) fn guard_or<T>(fallback: T, what: &str, f: impl FnOnce() -> T) -> T {
    match panic::catch_unwind(AssertUnwindSafe(f)) {
        Ok(value) => value,
        Err(payload) => {
            log_panic(what, payload);
            fallback
        }
    }
}

#[cold]
fn log_panic(what: &str, payload: Box<dyn Any + Send>) {
    let error = panicked(payload);
    tracing::error!("{what}: {error}");
}

#[cold]
fn panicked(payload: Box<dyn Any + Send>) -> Error {
    let text = message(&*payload);
    // A payload may panic in its own drop; that must not get out either.
    if let Err(second) = panic::catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        std::mem::forget(second);
    }
    let place = LAST_PANIC.try_with(|last| last.take()).ok().flatten();
    let Some(UnclaimedPanic { place, .. }) = place else {
        return Error::new(ErrorCode::PANICKED, format!("panicked: {text}"));
    };
    Error::new(ErrorCode::PANICKED, format!("panicked at {place}: {text}"))
        .with_detail("panic.location", &place)
}

fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        return (*text).to_owned();
    }
    match payload.downcast_ref::<String>() {
        Some(text) => text.clone(),
        None => "a value that is not text".to_owned(),
    }
}

/// The panic that the hook has seen in this thread and no guard has caught yet.
struct UnclaimedPanic {
    place: String,
    text: String,
}

/// Holds an unclaimed panic; if the thread ends without a guard having taken it, it is logged then.
struct Unclaimed(RefCell<Option<UnclaimedPanic>>);

impl Unclaimed {
    fn take(&self) -> Option<UnclaimedPanic> {
        self.0.try_borrow_mut().ok()?.take()
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(UnclaimedPanic { place, text }) = self.take() {
            tracing::error!("a thread panicked at {place}: {text}");
        }
    }
}

thread_local! {
    static LAST_PANIC: Unclaimed = const { Unclaimed(RefCell::new(None)) };
}

/// Replaces the panic hook by one that remembers message and place and prints nothing: the guard reports them
/// in its [`Error`], and what no guard caught is logged when its thread ends.
///
/// Every plugin does this for its own copy of `std` when it is loaded. A program that embeds the host keeps
/// its hook, and then the places are missing from the errors of built-in objects.
pub fn install_panic_hook() {
    panic::set_hook(Box::new(remember));
}

fn remember(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let text = message(info.payload());
    let _ = LAST_PANIC.try_with(|last| {
        if let Ok(mut slot) = last.0.try_borrow_mut() {
            *slot = Some(UnclaimedPanic { place, text });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    struct PanicsInDrop;

    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }

    #[test]
    fn a_panic_becomes_an_error() {
        let error = guard::<()>(|| panic!("boom {}", 1)).into_result().unwrap_err();
        assert_eq!(error.code(), ErrorCode::PANICKED);
        assert!(error.message().ends_with("boom 1"), "{error}");
    }

    #[test]
    fn a_payload_that_panics_in_its_drop_stays_inside() {
        let error = guard::<()>(|| panic::panic_any(PanicsInDrop)).into_result().unwrap_err();
        assert_eq!(error.code(), ErrorCode::PANICKED);
    }

    #[test]
    fn an_infallible_method_gets_its_fixed_value() {
        assert_eq!(guard_or(7, "time", || panic!("no time")), 7);
    }
}
