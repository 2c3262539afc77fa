//! The progress bar, on a terminal.

use std::{
    io::{self, IsTerminal},
    sync::Arc,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::progress::Progress;

/// A bar with rate and time left on standard error. Only the thread that writes has it: drawing waits for a terminal
/// that was stopped by ^S.
pub(super) struct Bar {
    /// Draws.
    bar: ProgressBar,
    /// What is drawn.
    progress: Arc<Progress>,
    /// Whether it shows a total, and a rate.
    shown: (bool, bool),
}

impl Bar {
    /// How often it is drawn when nothing happens.
    pub(super) const TICK: Duration = Duration::from_millis(100);

    /// A bar, if standard error is a terminal.
    pub(super) fn new(progress: Arc<Progress>) -> Option<Self> {
        let target = ProgressDrawTarget::stderr();
        if target.is_hidden() || !io::stderr().is_terminal() {
            return None;
        }
        let total = progress.total();
        let bar = ProgressBar::with_draw_target(total, target);
        let shown = (total.is_some(), false);
        bar.set_style(style(shown));
        Some(Self { bar, progress, shown })
    }

    /// Shows how far it is now.
    pub(super) fn draw(&mut self) {
        let (ended, total) = (self.progress.ended(), self.progress.total());
        // Before a job has ended there is no rate, and no time left.
        let shown = (total.is_some(), ended > 0);
        if shown != self.shown {
            self.shown = shown;
            self.bar.set_style(style(shown));
        }
        if let Some(total) = total {
            self.bar.set_length(total);
        }
        let failed = self.progress.failed();
        if failed > 0 {
            self.bar.set_message(format!(", {failed} failed"));
        }
        self.bar.set_position(ended);
    }

    /// Takes the bar away while something else is written, which must end with the end of a line: the bar takes the line
    /// that the cursor is on.
    pub(super) fn suspend(&self, write: impl FnOnce()) {
        self.bar.suspend(write);
    }

    /// Takes it away for good.
    pub(super) fn clear(self) {
        self.bar.finish_and_clear();
    }
}

fn style((has_total, has_rate): (bool, bool)) -> ProgressStyle {
    let template = match (has_total, has_rate) {
        (true, true) => "{bar:30} {pos}/{len} jobs, {per_sec}, {eta} left{msg}",
        (true, false) => "{bar:30} {pos}/{len} jobs, {elapsed}",
        (false, true) => "{spinner} {pos} jobs, {per_sec}, {elapsed}{msg}",
        (false, false) => "{spinner} {pos} jobs, {elapsed}",
    };
    ProgressStyle::with_template(template).expect("the templates above are well-formed")
}
