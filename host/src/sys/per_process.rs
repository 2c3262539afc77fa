//! State that belongs to one process and is not shared with its forked children.

use std::{
    fmt, ptr,
    sync::atomic::{
        AtomicPtr,
        Ordering::{AcqRel, Acquire},
    },
};

use super::fork_mark;

/// A value that each process makes for itself: a forked child finds none and makes its own.
///
/// The parent's value stays untouched in the child's memory, leaked: it may hold locks that threads of the parent had
/// taken (those threads do not exist in the child), descriptors that both share, and other people's objects.
pub(crate) struct PerProcess<T> {
    node: AtomicPtr<Node<T>>,
    make: fn(Option<&T>) -> T,
}

struct Node<T> {
    /// The [`fork_mark::generation`] of the process that made it.
    generation: u64,
    value: T,
}

impl<T: Send + Sync> PerProcess<T> {
    /// Nothing yet; `make` makes it, in a child with the parent's value to take from (its locks may be held for ever:
    /// only try them).
    pub(crate) const fn new(make: fn(Option<&T>) -> T) -> Self {
        Self { node: AtomicPtr::new(ptr::null_mut()), make }
    }

    /// The value of this process.
    pub(crate) fn get(&self) -> &T {
        let generation = fork_mark::generation();
        let mut found = self.node.load(Acquire);
        loop {
            // SAFETY: null, or a node that `Box::into_raw` gave; a node in place is freed by `drop` only, which has
            // the value to itself, and one that was replaced never is.
            let node = unsafe { found.as_ref() };
            if let Some(node) = node
                && node.generation == generation
            {
                return &node.value;
            }
            let value = (self.make)(node.map(|parents| &parents.value));
            let fresh = Box::into_raw(Box::new(Node { generation, value }));
            match self.node.compare_exchange(found, fresh, AcqRel, Acquire) {
                // SAFETY: as above: it is in place now.
                Ok(_) => return unsafe { &(*fresh).value },
                Err(other_thread_s) => {
                    // SAFETY: `fresh` came from `into_raw` above and nobody else has seen it.
                    drop(unsafe { Box::from_raw(fresh) });
                    found = other_thread_s;
                }
            }
        }
    }
}

impl<T: Send + Sync + fmt::Debug> fmt::Debug for PerProcess<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl<T> Drop for PerProcess<T> {
    fn drop(&mut self) {
        let node = *self.node.get_mut();
        // SAFETY: null or a node in place, and nobody else has access any more.
        if unsafe { node.as_ref() }.is_some_and(|node| node.generation == fork_mark::generation()) {
            // SAFETY: it came from `Box::into_raw` and is not used again.
            drop(unsafe { Box::from_raw(node) });
        }
    }
}

// SAFETY: it hands out `&T` on any thread and drops the `T` on any; the raw pointer is managed as above.
unsafe impl<T: Send + Sync> Sync for PerProcess<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Send for PerProcess<T> {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use nix::{
        sys::wait::{WaitStatus, waitpid},
        unistd::{ForkResult, fork},
    };

    use super::*;

    #[test]
    fn a_child_gets_its_own_and_may_take_from_the_parent_s() {
        let cell: PerProcess<AtomicU32> =
            PerProcess::new(|parents| AtomicU32::new(parents.map_or(1, |value| value.load(SeqCst) * 10)));
        cell.get().store(5, SeqCst);
        // SAFETY: the child allocates (glibc allows it after fork) and leaves by `_exit`.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                let fresh = cell.get().swap(7, SeqCst) == 50 && cell.get().load(SeqCst) == 7;
                // SAFETY: ends the child without running anything of the parent's.
                unsafe { libc::_exit(i32::from(!fresh)) }
            }
            ForkResult::Parent { child } => {
                assert!(matches!(waitpid(child, None).unwrap(), WaitStatus::Exited(_, 0)));
            }
        }
        assert_eq!(cell.get().load(SeqCst), 5);
    }
}
