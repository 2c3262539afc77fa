//! A watch over code that came out of a file.
//!
//! A plugin may never come back: out of its constructor, or out of a loop that was told to stop. Nobody could end
//! loophost then, because the signals that do it are blocked and read by the loop. So from the first plugin on a thread
//! watches: while loophost starts, a signal that ends programs ends it, and a few seconds after the work is done it ends
//! in any case. What is built in needs no watch, and gets none.

use std::{
    fmt, mem,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::{
    exit_status::{self, Outcome},
    log,
    sys::{exit::exit_now, signals},
};

/// How often the thread looks for signals while loophost starts.
const GLANCE: Duration = Duration::from_secs(1);
/// How long a plugin may take to come back once the work is done.
const PATIENCE: Duration = Duration::from_secs(10);
/// The signals that end loophost while it starts.
const ENDING: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

#[derive(Clone, Debug, Default)]
pub(crate) struct Watchdog(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// What is watched. Without any there is no thread.
    plugins: Vec<PathBuf>,
    stage: Stage,
}

#[derive(Default)]
enum Stage {
    /// Plugins are loaded, and the loop is to run its first callback.
    #[default]
    Starting,
    /// The loop runs callbacks, and signals reach them.
    Running,
    /// The work is done.
    Ending { deadline: Instant, outcome: Box<dyn FnOnce() -> Outcome + Send> },
}

impl Watchdog {
    /// Begins to watch a plugin, before any of its code has run.
    pub(crate) fn watch(&self, plugin: &Path) {
        let mut state = self.0.state();
        let is_first = state.plugins.is_empty();
        state.plugins.push(plugin.to_owned());
        drop(state);
        if is_first {
            let shared = self.0.clone();
            let thread = thread::Builder::new().name("loophost-watchdog".into()).stack_size(64 * 1024);
            if let Err(error) = thread.spawn(move || shared.run()) {
                tracing::debug!("no watch over plugins: {error}");
            }
        }
    }

    pub(crate) fn is_watching(&self) -> bool {
        !self.0.state().plugins.is_empty()
    }

    /// The loop has run a callback.
    pub(crate) fn running(&self) {
        self.0.enter(Stage::Running, |_| true);
    }

    /// The work is done: loophost is to end now, and ends with `outcome` if a plugin keeps it from that.
    pub(crate) fn ending(&self, outcome: Outcome) {
        self.0.enter(Stage::ending(move || outcome), |_| true);
    }

    /// The work is done, and the loop may not know it yet.
    pub(crate) fn ending_unknown_to_loop(&self, outcome: impl FnOnce() -> Outcome + Send + 'static) {
        self.0.enter(Stage::ending(outcome), |stage| matches!(stage, Stage::Running));
    }
}

impl Stage {
    fn ending(outcome: impl FnOnce() -> Outcome + Send + 'static) -> Self {
        Self::Ending { deadline: Instant::now() + PATIENCE, outcome: Box::new(outcome) }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, stage: Stage, may_leave: impl FnOnce(&Stage) -> bool) {
        let mut state = self.state();
        if may_leave(&state.stage) {
            state.stage = stage;
            self.changed.notify_one();
        }
    }

    /// The thread.
    fn run(&self) {
        let mut state = self.state();
        loop {
            state = match &state.stage {
                Stage::Starting => {
                    let (state, glance) =
                        self.changed.wait_timeout(state, GLANCE).unwrap_or_else(PoisonError::into_inner);
                    if glance.timed_out() && matches!(state.stage, Stage::Starting) {
                        end_by_signal(&state);
                    }
                    state
                }
                Stage::Running => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Stage::Ending { deadline, .. } => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        end(state);
                    }
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

/// Ends loophost if a signal waits that asks for it.
fn end_by_signal(state: &State) {
    let pending = signals::pending();
    if let Some(signum) = ENDING.into_iter().find(|signum| pending.contains(*signum)) {
        log::say(&format!("ended by signal {signum} while {state} is starting"));
        exit_now(exit_status::of(&Outcome::Exited(-signum)));
    }
}

fn end(mut state: MutexGuard<'_, State>) -> ! {
    let outcome = match mem::replace(&mut state.stage, Stage::Running) {
        Stage::Ending { outcome, .. } => outcome(),
        Stage::Starting | Stage::Running => Outcome::Failed,
    };
    log::say(&format!("{state} does not come to an end, so loophost ends without it"));
    exit_now(exit_status::of(&outcome))
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plugins: Vec<_> = self.plugins.iter().map(|path| path.display().to_string()).collect();
        write!(f, "the plugin {}", plugins.join(" or "))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("plugins", &self.state().plugins).finish_non_exhaustive()
    }
}
