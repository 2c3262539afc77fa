//! Processes: how they are made, signalled and reaped.
//!
//! In async code [`Command::spawn`], [`output`](Command::output) and [`status`](Command::status) have the shape of
//! [`std::process`]. Below them, [`subprocess_exec`] starts a [`Command`] under the policy's child watcher and calls back on a loop when the child has
//! exited; [`spawn`] starts one that no watcher knows yet. Both give a [`Child`].
//!
//! # Who guarantees what
//! - Only [`reap`] takes statuses, and it marks the process gone in the same step, under the one lock that signalling
//!   takes too (`table`). So no signal reaches a pid that now belongs to somebody else.
//! - Whatever can be wrong with a command is found before a process is made, or it is a [`SpawnError`] and no process
//!   is left.
//! - Each child has one keeper at any time: a watcher that holds its handler, the holder of an unwatched [`Child`], or
//!   the process-wide reaper (`orphans`), which takes the children that lost theirs. So there are no zombies, and
//!   dropping a [`Child`] never waits.

mod adopted;
mod child;
mod command;
mod delivery;
mod environment;
mod error;
mod exec;
mod executable;
mod lock;
mod orphans;
mod pidfd_probe;
mod prepare;
mod signal_set;
mod small_thread;
#[cfg(feature = "async")]
mod subprocess;
mod table;

pub use adopted::{adopts_orphans, reap_adopted};
pub use child::Child;
pub use command::{Command, Stdio};
pub use error::{SpawnError, SpawnErrorKind};
pub use exec::{spawn, subprocess_exec};
pub(crate) use lock::lock;
pub use orphans::orphans;
pub use pidfd_probe::PidfdProbe;
pub use signal_set::SignalSet;
pub(crate) use small_thread::spawn_small_thread;
#[cfg(feature = "async")]
pub use subprocess::{Process, create_subprocess_exec};
pub(crate) use table::{Next, Whose, claim, reap_next, valid_pid};

use crate::{Error, host::Reaped};

#[doc(hidden)]
pub use crate::sys::spawn::Way;

/// For tests and benchmarks: the spawns of this thread are done in that way if it works here, or else in a lesser one.
#[doc(hidden)]
pub fn force_way(way: Option<Way>) {
    crate::sys::spawn::force(way);
}

/// Takes the status of child `pid` if it has exited. Never waits.
///
/// This works for children that this process got by other means too. [`crate::host::reap`] is the same for plugins. Any
/// thread.
///
/// # Errors
/// `InvalidArgument` for a number that can be no pid; `Os` if the kernel refuses to tell.
pub fn reap(pid: i64) -> Result<Reaped, Error> {
    table::reap(pid)
}
