//! The thread rule of a loop's state, enforced where it is used.

use std::{
    cell::UnsafeCell,
    marker::PhantomData,
    ops::{Deref, DerefMut},
    sync::atomic::{
        AtomicBool, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use crate::{Error, ErrorCode, thread_id};

/// A loop's state: used by one thread at a time, and never while it is in use.
///
/// While a loop runs, the thread that runs it owns the cell and every other thread gets `WrongThread`. While it
/// is idle, one thread at a time may use it, and a collision is `Busy`. A use inside a use is `Reentered`: never
/// undefined behaviour, but a bug of the loop, which must not call foreign code (a callback, the drop of one, the
/// exception handler) while it [borrows](Self::borrow_mut).
///
/// A cell [bound to its runner](Self::bound_to_runner) stays its first runner's also when it is idle, as a loop with the
/// capability `THREAD_BOUND` does.
///
/// For the owner a use costs one comparison of the thread's number, no lock.
///
/// ```
/// use loophost_plugin_api::LoopCell;
///
/// let cell = LoopCell::new(vec![1]);
/// let running = cell.run()?;
/// cell.with(|numbers| numbers.push(2))?;
/// drop(running);
/// assert_eq!(cell.with(|numbers| numbers.len())?, 2);
/// # Ok::<(), loophost_plugin_api::Error>(())
/// ```
#[derive(Debug)]
pub struct LoopCell<T> {
    /// The number of the thread that owns it, 0 for none.
    owner: AtomicU64,
    /// Whether the owner runs the loop (and does not just use an idle one).
    running: AtomicBool,
    /// Whether there is a `RefMut`.
    borrowed: AtomicBool,
    /// The only thread that may own it: 0 until the first run has decided, [`ANY`] for all.
    bound_to: AtomicU64,
    value: UnsafeCell<T>,
}

/// No thread has this number.
const ANY: u64 = u64::MAX;

// SAFETY: `borrow_mut` hands out the value to one thread at a time, ordered by `owner`; the value itself moves between
// threads, so it must be `Send`.
unsafe impl<T: Send> Sync for LoopCell<T> {}

impl<T> LoopCell<T> {
    /// An idle cell.
    pub const fn new(value: T) -> Self {
        Self::with_bound(value, ANY)
    }

    /// An idle cell that belongs to the thread of its first run from then on; other threads get `WrongThread`.
    pub const fn bound_to_runner(value: T) -> Self {
        Self::with_bound(value, 0)
    }

    const fn with_bound(value: T, bound_to: u64) -> Self {
        Self {
            owner: AtomicU64::new(0),
            running: AtomicBool::new(false),
            borrowed: AtomicBool::new(false),
            bound_to: AtomicU64::new(bound_to),
            value: UnsafeCell::new(value),
        }
    }

    /// Uses the value.
    ///
    /// # Errors
    /// `WrongThread`, `Busy` or `Reentered`, see the type.
    #[inline]
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> Result<R, Error> {
        Ok(f(&mut *self.borrow_mut()?))
    }

    /// Uses the value until the guard is dropped. What is given to the value in this way is not copied into a closure first,
    /// as it is with [`with`](Self::with): with a callback's four words that is a third of what `call_soon` costs.
    ///
    /// # Errors
    /// `WrongThread`, `Busy` or `Reentered`, see the type.
    #[inline]
    pub fn borrow_mut(&self) -> Result<RefMut<'_, T>, Error> {
        let hold = self.hold()?;
        // Acquire and Release because the guard of a run may be dropped inside of a borrow: then that goes on without an
        // owner, and only `borrowed` orders it before the next one.
        if self.borrowed.load(Acquire) {
            return Err(reentered());
        }
        self.borrowed.store(true, Relaxed);
        Ok(RefMut { cell: self, _hold: hold })
    }

    /// Makes this thread the owner until the guard is dropped: for the time of a run.
    ///
    /// # Errors
    /// `LoopRunning` if it runs already, `Busy` if another thread is using it.
    pub fn run(&self) -> Result<Running<'_, T>, Error> {
        let me = thread_id::current();
        if self.running.load(Relaxed) {
            return Err(Error::new(ErrorCode::LOOP_RUNNING, "this event loop is already running"));
        }
        if self.owner.load(Relaxed) == me {
            return Err(reentered());
        }
        let own = self.own(me)?;
        if self.bound_to.load(Relaxed) == 0 {
            self.bound_to.store(me, Relaxed);
        }
        self.running.store(true, Relaxed);
        Ok(Running { _own: own, _not_send: PhantomData })
    }

    /// Keeps other threads out until the guard is dropped, for a method that uses the value several times. Inside a
    /// run, or another hold of this thread, it changes nothing.
    ///
    /// # Errors
    /// `WrongThread` or `Busy`, see the type.
    #[inline]
    pub fn hold(&self) -> Result<Hold<'_, T>, Error> {
        let me = thread_id::current();
        // Relaxed is enough: only this thread can have stored its own number.
        let own = if self.owner.load(Relaxed) == me { None } else { Some(self.own(me)?) };
        Ok(Hold { _own: own, _not_send: PhantomData })
    }

    /// As [`hold`](Self::hold), also in a thread that an idle cell is not bound to: for closing.
    ///
    /// # Errors
    /// As `hold` otherwise.
    pub fn hold_anywhere(&self) -> Result<Hold<'_, T>, Error> {
        let me = thread_id::current();
        let own = if self.owner.load(Relaxed) == me { None } else { Some(self.take(me)?) };
        Ok(Hold { _own: own, _not_send: PhantomData })
    }

    /// Whether a thread runs the loop now.
    pub fn is_running(&self) -> bool {
        self.running.load(Relaxed)
    }

    /// Whether this very thread runs the loop now.
    #[inline]
    pub fn is_running_here(&self) -> bool {
        self.running.load(Relaxed) && self.owner.load(Relaxed) == thread_id::current()
    }

    /// The value, when nobody else can have it.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    #[inline]
    fn own(&self, me: u64) -> Result<Own<'_, T>, Error> {
        let own = self.take(me)?;
        // Read as its owner: whoever has bound it was one before.
        let bound_to = self.bound_to.load(Relaxed);
        if bound_to == ANY || bound_to == me || bound_to == 0 { Ok(own) } else { Err(bound_elsewhere()) }
    }

    #[inline]
    fn take(&self, me: u64) -> Result<Own<'_, T>, Error> {
        match self.owner.compare_exchange(0, me, Acquire, Relaxed) {
            Ok(_) => Ok(Own(self)),
            Err(_) => Err(self.owned_elsewhere()),
        }
    }

    #[cold]
    fn owned_elsewhere(&self) -> Error {
        if self.running.load(Relaxed) {
            let message = "the loop runs in another thread: use call_soon_threadsafe to get there";
            Error::new(ErrorCode::WRONG_THREAD, message)
        } else {
            Error::new(ErrorCode::BUSY, "another thread is using this idle loop")
        }
    }
}

/// Says that this thread runs the loop, until it is dropped. Stays in its thread.
#[derive(Debug)]
pub struct Running<'a, T> {
    _own: Own<'a, T>,
    _not_send: PhantomData<*const ()>,
}

/// Says that this thread uses the loop, until it is dropped. Stays in its thread.
#[derive(Debug)]
pub struct Hold<'a, T> {
    _own: Option<Own<'a, T>>,
    _not_send: PhantomData<*const ()>,
}

#[derive(Debug)]
struct Own<'a, T>(&'a LoopCell<T>);

impl<T> Drop for Own<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.0.running.store(false, Relaxed);
        self.0.owner.store(0, Release);
    }
}

/// The value of a [`LoopCell`], until it is dropped. Stays in its thread.
#[derive(Debug)]
pub struct RefMut<'a, T> {
    cell: &'a LoopCell<T>,
    // Dropped after the borrow has ended.
    _hold: Hold<'a, T>,
}

impl<T> Deref for RefMut<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this thread is the owner (`hold` has checked or made it so), so no other thread sets `borrowed`; and it
        // was false when this guard set it, so neither another thread nor this one has a second guard.
        unsafe { &*self.cell.value.get() }
    }
}

impl<T> DerefMut for RefMut<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `deref`.
        unsafe { &mut *self.cell.value.get() }
    }
}

impl<T> Drop for RefMut<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.cell.borrowed.store(false, Release);
    }
}

#[cold]
fn bound_elsewhere() -> Error {
    let message = "the loop belongs to the thread of its first run: use call_soon_threadsafe to get there";
    Error::new(ErrorCode::WRONG_THREAD, message)
}

#[cold]
fn reentered() -> Error {
    Error::new(ErrorCode::REENTERED, "the loop was entered again while its state was in use")
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Barrier},
        thread,
    };

    use super::*;

    #[test]
    fn a_bound_cell_stays_with_its_first_runner() {
        let cell = Arc::new(LoopCell::bound_to_runner(0));
        cell.with(|n| *n += 1).unwrap();
        let there = cell.clone();
        thread::spawn(move || drop(there.run().unwrap())).join().unwrap();
        let codes = [
            cell.with(|_| ()).unwrap_err(),
            cell.hold().map(drop).unwrap_err(),
            cell.run().map(drop).unwrap_err(),
        ];
        assert_eq!(codes.map(|error| error.code()), [ErrorCode::WRONG_THREAD; 3]);
        let hold = cell.hold_anywhere().unwrap();
        assert_eq!(cell.with(|n| *n).unwrap(), 1, "the holder uses it");
        drop(hold);
        assert_eq!(cell.with(|_| ()).unwrap_err().code(), ErrorCode::WRONG_THREAD);
    }

    #[test]
    fn a_run_excludes_other_threads() {
        let cell = Arc::new(LoopCell::new(0));
        let running = cell.run().unwrap();
        cell.with(|n| *n += 1).unwrap();
        assert_eq!(cell.run().unwrap_err().code(), ErrorCode::LOOP_RUNNING);
        let there = cell.clone();
        thread::spawn(move || {
            assert_eq!(there.with(|_| ()).unwrap_err().code(), ErrorCode::WRONG_THREAD);
            assert_eq!(there.run().unwrap_err().code(), ErrorCode::LOOP_RUNNING);
        })
        .join()
        .unwrap();
        drop(running);
        let there = cell.clone();
        thread::spawn(move || there.with(|n| *n += 1).unwrap()).join().unwrap();
        assert_eq!(cell.with(|n| *n).unwrap(), 2);
    }

    #[test]
    fn two_threads_on_an_idle_cell_collide() {
        let cell = Arc::new(LoopCell::new(()));
        let (inside, go_on) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let (there, i, g) = (cell.clone(), inside.clone(), go_on.clone());
        let other = thread::spawn(move || {
            there.with(|()| {
                i.wait();
                g.wait();
            })
        });
        inside.wait();
        assert_eq!(cell.with(|()| ()).unwrap_err().code(), ErrorCode::BUSY);
        go_on.wait();
        other.join().unwrap().unwrap();
    }

    #[test]
    fn a_hold_excludes_other_threads_between_two_uses() {
        let cell = LoopCell::new(0);
        let hold = cell.hold().unwrap();
        drop(cell.hold().unwrap());
        cell.with(|n| *n += 1).unwrap();
        let elsewhere = || thread::scope(|scope| scope.spawn(|| cell.with(|n| *n)).join().unwrap());
        assert_eq!(elsewhere().unwrap_err().code(), ErrorCode::BUSY);
        assert!(!cell.is_running());
        drop(hold);
        assert_eq!(elsewhere().unwrap(), 1);
    }

    #[test]
    fn a_run_that_ends_inside_a_use_does_not_end_the_use() {
        let cell = LoopCell::new(());
        let running = cell.run().unwrap();
        cell.with(|()| {
            drop(running);
            let elsewhere = thread::scope(|scope| scope.spawn(|| cell.with(|()| ())).join().unwrap());
            assert_eq!(elsewhere.unwrap_err().code(), ErrorCode::REENTERED);
        })
        .unwrap();
        cell.with(|()| ()).unwrap();
    }

    #[test]
    fn a_use_inside_a_use_is_refused_and_a_panic_ends_it() {
        let cell = LoopCell::new(());
        let inner = cell.with(|()| cell.with(|()| ())).unwrap();
        assert_eq!(inner.unwrap_err().code(), ErrorCode::REENTERED);
        let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = cell.with(|()| panic!("inside"));
        }));
        assert!(unwound.is_err());
        cell.with(|()| ()).unwrap();
    }
}
