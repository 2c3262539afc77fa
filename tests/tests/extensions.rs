//! Extensions of a real file's objects: found on each of them, through those that wrap them, and nowhere else.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::ffi::c_void;

use loophost::{
    ChildWatcher, EventLoop, ExtensionHead, LoopHandle, Options, Policy, PolicyHandle, WatcherHandle,
    plugin::{self, Plugin},
    policy::DefaultEventLoopPolicy,
};
use loophost_tests::{c_plugin, cdylib, trust};

const ID: &str = "fixture.kind/1";

/// The table of the extension.
#[repr(C)]
struct Kind {
    head: ExtensionHead,
    kind: unsafe extern "C" fn(*const c_void) -> u32,
    asked: unsafe extern "C" fn(*const c_void) -> u64,
}

/// What the extension says that it belongs to, and how often that was asked; `None` if there is none.
fn told(table: *const c_void) -> Option<(u32, u64)> {
    // SAFETY: null, or a table of this layout: the tests keep what they got it from.
    let table = unsafe { table.cast::<Kind>().as_ref() }?;
    assert_eq!((table.head.size as usize, table.head.reserved), (size_of::<Kind>(), 0));
    // SAFETY: the functions take what stands in their own table.
    Some(unsafe { ((table.kind)(table.head.object), (table.asked)(table.head.object)) })
}

/// What the extension says that it belongs to.
fn kind(table: *const c_void) -> Option<u32> {
    told(table).map(|(kind, _)| kind)
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

/// The fixture in Rust, and that in C if there is a compiler.
fn plugins() -> impl Iterator<Item = &'static Plugin> {
    let in_c = c_plugin("tests/c-fixtures/extended.c", "extended", &[]);
    let files = [Some(cdylib("loophost-fixture-extended")), in_c];
    files.into_iter().flatten().map(|file| plugin::load(&file, &trust()).unwrap())
}

#[test]
fn every_object_of_a_file_may_have_one() {
    plugins().for_each(every_object_may_have_one);
}

fn every_object_may_have_one(plugin: &Plugin) {
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

#[test]
fn functions_know_their_object_also_through_wrappers() {
    plugins().for_each(functions_know_their_object);
}

fn functions_know_their_object(plugin: &Plugin) {
    let default = PolicyHandle::new(DefaultEventLoopPolicy::new());
    let policy = plugin.new_policy(None, &Options::new(), Some(default)).unwrap();
    let wrapper = PolicyHandle::new(PlainPolicy(policy.clone()));
    assert_eq!(told(wrapper.extension(ID)), Some((1, 1)));
    let [one, other] = [(); 2].map(|()| wrapper.new_event_loop().unwrap());
    let wrapped = LoopHandle::new(PlainLoop(LoopHandle::new(PlainLoop(one.clone()))));
    assert_eq!(told(one.extension(ID)), Some((2, 1)));
    assert_eq!(told(wrapped.extension(ID)), Some((2, 2)), "the same object");
    assert_eq!(told(other.extension(ID)), Some((2, 1)), "an object of its own");
    // The handle of the wrapper is enough, and a table that one has stays good after `close`.
    let table = wrapped.extension(ID);
    wrapped.close().unwrap();
    other.close().unwrap();
    drop((one, other, policy));
    assert_eq!(told(table), Some((2, 3)));
    assert_eq!(told(wrapper.extension(ID)), Some((1, 2)));
}
