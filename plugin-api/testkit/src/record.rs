//! What callbacks write down, in the order in which they were called.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use loophost_plugin_api::{Callback, Error, RepeatCallback};

use crate::verdict::{Code, Verdict, failed};

/// A shared list of short notes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record(Arc<Mutex<Vec<String>>>);

impl Record {
    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a note.
    pub(crate) fn note(&self, text: impl Into<String>) {
        self.lines().push(text.into());
    }

    /// A callback that adds a note.
    pub(crate) fn callback(&self, text: &'static str) -> Callback {
        let record = self.clone();
        Callback::new(move |_| {
            record.note(text);
            Ok(())
        })
    }

    /// As [`callback`](Self::callback), for readers and signals.
    pub(crate) fn repeat(&self, text: &'static str) -> RepeatCallback {
        let record = self.clone();
        RepeatCallback::new(move |_| {
            record.note(text);
            Ok(())
        })
    }

    /// Notes the code of an error that is expected.
    pub(crate) fn refusal<T>(&self, what: &str, result: Result<T, Error>) {
        self.note(match result {
            Ok(_) => format!("{what} worked"),
            Err(error) => format!("{what} {}", Code(error.code())),
        });
    }

    pub(crate) fn len(&self) -> usize {
        self.lines().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes everything out.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lines())
    }

    /// Takes everything out, which must be exactly that, in that order.
    #[track_caller]
    pub(crate) fn expect<const N: usize>(&self, expected: [&str; N]) -> Verdict<()> {
        let got = self.take();
        if got == expected {
            return Ok(());
        }
        Err(failed(format!("expected [{}], got [{}]", expected.join(", "), got.join(", "))))
    }
}

/// Writes a note when it is dropped.
#[derive(Debug)]
pub(crate) struct NotesDrop(pub(crate) Record, pub(crate) &'static str);

impl Drop for NotesDrop {
    fn drop(&mut self) {
        self.0.note(self.1);
    }
}

/// Calls a closure when it is dropped.
pub(crate) struct OnDrop<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
