//! Extensions of a real file's objects: found on each of them, through those that wrap them, and nowhere else.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::ffi::c_void;

use loophost::{
    ChildWatcher, EventLoop, LoopHandle, Options, Policy, PolicyHandle, WatcherHandle, plugin,
    policy::DefaultEventLoopPolicy,
};
use loophost_tests::{cdylib, trust};

const ID: &str = "fixture.kind/1";

/// The table of the extension.
#[repr(C)]
struct Kind {
    size: usize,
    kind: extern "C" fn() -> u32,
}

/// What the extension says that it belongs to; `None` if there is none.
fn kind(table: *const c_void) -> Option<u32> {
    // SAFETY: null, or a static of this layout in a file that is never unloaded.
    let table = unsafe { table.cast::<Kind>().as_ref() }?;
    assert_eq!(table.size, size_of::<Kind>());
    Some((table.kind)())
}

/// Subclasses that override nothing.
struct PlainPolicy(PolicyHandle);
struct PlainLoop(LoopHandle);
struct PlainWatcher(WatcherHandle);

impl Policy for PlainPolicy {
    fn base(&self) -> Option<PolicyHandle> {
        Some(self.0.clone())
    }
}

impl EventLoop for PlainLoop {
    fn base(&self) -> Option<LoopHandle> {
        Some(self.0.clone())
    }
}

impl ChildWatcher for PlainWatcher {
    fn base(&self) -> Option<WatcherHandle> {
        Some(self.0.clone())
    }
}

#[test]
fn every_object_of_a_file_may_have_one() {
    let plugin = plugin::load(&cdylib("loophost-fixture-extended"), &trust()).unwrap();
    let default = PolicyHandle::new(DefaultEventLoopPolicy::new());
    let policy = plugin.new_policy(None, &Options::new(), Some(default.clone())).unwrap();
    let watcher =
        plugin.new_watcher(None, &Options::new(), Some(default.get_child_watcher().unwrap())).unwrap();
    let event_loop = policy.new_event_loop().unwrap();
    assert_eq!(kind(policy.extension(ID)), Some(1));
    assert_eq!(kind(event_loop.extension(ID)), Some(2));
    assert_eq!(kind(watcher.extension(ID)), Some(3));
    assert_eq!(kind(plugin.extension(ID)), Some(4));
    // The same through a subclass that has never heard of it.
    assert_eq!(kind(PolicyHandle::new(PlainPolicy(policy.clone())).extension(ID)), Some(1));
    assert_eq!(kind(LoopHandle::new(PlainLoop(event_loop.clone())).extension(ID)), Some(2));
    assert_eq!(kind(WatcherHandle::new(PlainWatcher(watcher.clone())).extension(ID)), Some(3));
    // Another version is another extension, and the bases have none.
    let unknown = "fixture.kind/2";
    let tables = [policy.extension(unknown), event_loop.extension(unknown), watcher.extension(unknown)];
    assert!(tables.iter().chain([&plugin.extension(unknown)]).all(|table| table.is_null()));
    assert!(default.extension(ID).is_null());
    event_loop.close().unwrap();
}
