//! `call_soon` of three words or less allocates nothing, on either side of the boundary.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    ffi::c_void,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use loophost::{
    Callback, ExtensionHead, LoopHandle, Options, PolicyHandle, plugin, policy::DefaultEventLoopPolicy,
};

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    /// Allocations of this side, by this thread: the test harness has threads of its own.
    static HERE: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that is ending allocates without being counted.
    let _ = HERE.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's guarantee is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's guarantee is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's guarantee is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// The table of the extension `loophost.allocations/1`: allocations of a plugin's side.
#[repr(C)]
struct Allocations {
    head: ExtensionHead,
    count: AtomicU64,
}

fn run_batch(event_loop: &LoopHandle, ran: &'static AtomicU64) {
    for n in 0..100u64 {
        let more = (n, n + 1);
        let callback = Callback::new(move |_| {
            ran.fetch_add(more.1 - more.0, Relaxed);
            Ok(())
        });
        event_loop.call_soon(callback).unwrap();
    }
    event_loop.run_once(Some(Duration::ZERO)).unwrap();
}

/// Counts what happens on both sides in ten batches, after one that lets the queue grow.
fn allocations_of(policy: &PolicyHandle, there: impl Fn() -> u64) -> (u64, u64) {
    static RAN: AtomicU64 = AtomicU64::new(0);
    let event_loop = policy.new_event_loop().unwrap();
    run_batch(&event_loop, &RAN);
    let before = (HERE.get(), there());
    let ran = RAN.load(Relaxed);
    for _ in 0..10 {
        run_batch(&event_loop, &RAN);
    }
    let after = (HERE.get(), there());
    assert_eq!(RAN.load(Relaxed) - ran, 1000);
    event_loop.close().unwrap();
    (after.0 - before.0, after.1 - before.1)
}

#[test]
fn three_words_are_stored_inline_built_in_and_from_a_plugin() {
    let default = PolicyHandle::new(DefaultEventLoopPolicy::new());
    let plugin = plugin::load(&loophost_tests::cdylib("selector-policy"), &loophost_tests::trust()).unwrap();
    let loaded = plugin.new_policy(None, &Options::new(), Some(default.clone())).unwrap();
    let table: *const c_void = plugin.extension("loophost.allocations/1");
    // SAFETY: the extension is a static of this layout, in a file that is never unloaded.
    let table = unsafe { table.cast::<Allocations>().as_ref() }.unwrap();
    assert!(table.head.size as usize >= size_of::<Allocations>());
    let there = || table.count.load(Relaxed);
    assert!(there() > 0, "the counter counts");

    // What a turn itself needs is a list of events on its own side, whatever the number of callbacks.
    let (here, in_plugin) = allocations_of(&default, there);
    assert_eq!((here, in_plugin), (0, 0), "built in");
    let (here, in_plugin) = allocations_of(&loaded, there);
    assert_eq!((here, in_plugin), (0, 0), "from a .so");
}
