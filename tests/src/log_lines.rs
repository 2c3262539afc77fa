//! The log of this process, kept.

use std::{
    io::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The log lines of this process from the moment it was made, without colours.
#[derive(Clone, Debug, Default)]
pub struct LogLines(Arc<Mutex<Vec<u8>>>);

impl LogLines {
    /// Begins to keep them. Once in a process.
    ///
    /// # Panics
    /// Somebody else has them already.
    pub fn keep() -> Self {
        let lines = Self::default();
        let writer = lines.clone();
        tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).init();
        lines
    }

    /// What was logged since this was last asked.
    pub fn take(&self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut *self.bytes())).into_owned()
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for LogLines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
