//! The current loop of each thread, in each default policy.
//!
//! The loops sit in one map of the host and a thread-local holds the thread's key only: when a thread ends, its slots
//! leave the map first, and the loops are dropped then, in a guard and with no lock held. A policy that ends takes its
//! slots with it. A forked child starts with an empty map.

use std::{
    cell::Cell,
    collections::HashMap,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use loophost_plugin_api::__private::guard;

use crate::{
    Error, LoopHandle,
    process::lock,
    sys::{per_process::PerProcess, thread},
};

/// What one policy keeps of one thread.
#[derive(Default)]
struct Slot {
    event_loop: Option<LoopHandle>,
    /// Whether `set_event_loop` was ever called here, also without success: then no loop is made by itself.
    set_was_called: bool,
}

/// By thread, then by policy.
type Map = HashMap<u64, HashMap<u64, Slot>>;

static MAP: PerProcess<Mutex<Map>> = PerProcess::new(|_| Mutex::default());

fn map() -> MutexGuard<'static, Map> {
    lock(MAP.get())
}

/// The slots of one policy.
pub(super) struct Slots {
    policy: u64,
}

impl Slots {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { policy: NEXT.fetch_add(1, Relaxed) }
    }

    /// The loop of this thread.
    pub(super) fn get(&self) -> Option<LoopHandle> {
        self.read(|slot| slot.event_loop.clone())?
    }

    /// Whether [`set_is_called`](Self::set_is_called) was called in this thread.
    pub(super) fn set_was_called(&self) -> bool {
        self.read(|slot| slot.set_was_called).unwrap_or(false)
    }

    /// Remembers the call.
    pub(super) fn set_is_called(&self) -> Result<(), Error> {
        self.write(|slot| slot.set_was_called = true)
    }

    /// Sets or clears the loop of this thread.
    pub(super) fn set(&self, event_loop: Option<LoopHandle>) -> Result<(), Error> {
        let previous = self.write(|slot| std::mem::replace(&mut slot.event_loop, event_loop))?;
        drop(previous);
        Ok(())
    }

    fn read<R>(&self, f: impl FnOnce(&Slot) -> R) -> Option<R> {
        let key = ThreadKey::existing()?;
        map().get(&key)?.get(&self.policy).map(f)
    }

    fn write<R>(&self, f: impl FnOnce(&mut Slot) -> R) -> Result<R, Error> {
        let key = ThreadKey::assigned()
            .ok_or_else(|| Error::invalid_argument("this thread is ending and can have no loop any more"))?;
        Ok(f(map().entry(key).or_default().entry(self.policy).or_default()))
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        let mut slots = Vec::new();
        map().retain(|_, policies| {
            slots.extend(policies.remove(&self.policy));
            !policies.is_empty()
        });
        // Dropped here, after the lock.
        drop(slots);
    }
}

thread_local! {
    static KEY: ThreadKey = const { ThreadKey(Cell::new(0)) };
}

/// A number for the thread, 0 until it has a slot. Its drop is the thread's end.
struct ThreadKey(Cell<u64>);

impl ThreadKey {
    fn existing() -> Option<u64> {
        KEY.try_with(|key| key.0.get()).ok().filter(|key| *key != 0)
    }

    fn assigned() -> Option<u64> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        KEY.try_with(|key| {
            if key.0.get() == 0 {
                key.0.set(NEXT.fetch_add(1, Relaxed));
            }
            key.0.get()
        })
        .ok()
    }
}

impl Drop for ThreadKey {
    fn drop(&mut self) {
        // The main thread ends with the process, and then nothing is dropped.
        if self.0.get() == 0 || thread::is_main() {
            return;
        }
        let slots = map().remove(&self.0.get());
        let dropped = guard(|| {
            drop(slots);
            Ok(())
        });
        if let Err(error) = dropped.into_result() {
            tracing::error!("dropping the event loop of a thread that ends: {error}");
        }
    }
}
