//! The progress bar, on a terminal.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How far the batch is: a bar with rate and time left, on standard error if that is a terminal. Cheap to clone; any
/// thread.
#[derive(Clone)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new(off: bool, total: Option<u64>) -> Self {
        let target = if off || !io::stderr().is_terminal() {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(total, target);
        bar.set_style(match total {
            Some(_) => style("{bar:30} {pos}/{len} jobs, {per_sec}, {eta} left{msg}"),
            None => style("{spinner} {pos} jobs, {per_sec}, {elapsed}{msg}"),
        });
        Self(bar)
    }

    /// The input has ended: now it is known how many there are.
    pub(super) fn set_total(&self, total: u64) {
        if self.0.length().is_none() {
            self.0.set_length(total);
            self.0.set_style(style("{bar:30} {pos}/{len} jobs, {per_sec}, {eta} left{msg}"));
        }
    }

    /// Another job has ended.
    pub(super) fn advance(&self, failed: u64) {
        if failed > 0 && !self.0.is_hidden() {
            self.0.set_message(format!(", {failed} failed"));
        }
        self.0.inc(1);
    }

    /// Clears the bar while something else is printed.
    pub(super) fn suspend<R>(&self, print: impl FnOnce() -> R) -> R {
        self.0.suspend(print)
    }

    /// Clears the bar for good.
    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template above is well-formed")
}
