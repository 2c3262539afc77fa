//! The table of host services: what plugins, and the host's own built-ins, reach through [`crate::host`].
//!
//! Every body is guarded: a panic becomes an error and never crosses into a plugin. No function here holds a lock while
//! it calls the code of others.

use std::{
    ffi::c_void,
    ptr,
    sync::{Once, OnceLock},
};

use abi_stable::{
    prefix_type::PrefixTypeTrait,
    std_types::{ROption, RStr, RVec},
};
use loophost_plugin_api::__private::{
    self as abi, ExitPlace, HostServices, HostServices_Ref, LentRecord, guard,
};

use crate::{
    ABI_MINOR, AbiResult, HandleId, KeyValue, LoopHandle, Options, PolicyHandle, RepeatCallback,
    WatcherHandle, builtin, log, policy, process, running, signal, sys::fork_mark,
};

/// Gives the host's own copy of the plugin API its host. Cheap when done already; every public entry that
/// may lead to a loop, a policy or a watcher calls it first.
pub(crate) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| abi::install(table()));
}

/// The table that a loaded plugin gets.
pub(crate) fn table() -> HostServices_Ref {
    static TABLE: OnceLock<HostServices_Ref> = OnceLock::new();
    *TABLE.get_or_init(|| {
        HostServices {
            abi_minor: ABI_MINOR,
            fork_mark: fork_mark::for_plugins(),
            process_number,
            log_enabled,
            log: write_log,
            enter_running,
            leave_running,
            current_loop,
            get_event_loop_policy,
            set_event_loop_policy,
            new_loop,
            new_watcher,
            signal_subscribe,
            signal_unsubscribe,
            reap,
            extension,
        }
        .leak_into_prefix()
    })
}

/// For functions that cannot fail: a panic gives `fallback`.
fn guard_or<T>(fallback: T, f: impl FnOnce() -> T) -> T {
    guard(|| Ok(f())).into_result().unwrap_or(fallback)
}

extern "C" fn process_number() -> u64 {
    fork_mark::generation()
}

extern "C" fn log_enabled(level: u32, target: RStr<'_>) -> bool {
    guard_or(false, || log::enabled(level, target.into()))
}

extern "C" fn write_log(record: LentRecord<'_>) {
    guard_or((), || record.read().iter().for_each(log::write));
}

extern "C" fn enter_running(event_loop: &LoopHandle) -> AbiResult<u64> {
    guard(|| running::enter(event_loop))
}

extern "C" fn leave_running(token: u64) -> AbiResult<()> {
    guard(|| running::leave(token))
}

extern "C" fn current_loop() -> ROption<LoopHandle> {
    guard_or(ROption::RNone, || running::current().into())
}

extern "C" fn get_event_loop_policy() -> AbiResult<PolicyHandle> {
    guard(|| Ok(policy::get_event_loop_policy()))
}

extern "C" fn set_event_loop_policy(policy: ROption<PolicyHandle>) -> AbiResult<()> {
    guard(|| {
        policy::set_event_loop_policy(policy.into_option());
        Ok(())
    })
}

extern "C" fn new_loop(name: RStr<'_>, options: RVec<KeyValue>) -> AbiResult<LoopHandle> {
    guard(|| builtin::loops::new(name.into(), &Options::from_abi(options)))
}

extern "C" fn new_watcher(name: RStr<'_>, options: RVec<KeyValue>) -> AbiResult<WatcherHandle> {
    guard(|| builtin::watchers::new_for_plugin(name.into(), &Options::from_abi(options)))
}

extern "C" fn signal_subscribe(signum: i32, callback: RepeatCallback) -> AbiResult<HandleId> {
    guard(|| signal::subscribe(signum, callback))
}

extern "C" fn signal_unsubscribe(id: HandleId) -> AbiResult<bool> {
    guard(|| signal::unsubscribe(id))
}

extern "C" fn reap(pid: i64, out: ExitPlace<'_>) -> AbiResult<u32> {
    guard(|| {
        let (code, exit) = process::reap(pid)?.to_abi();
        out.put(&exit);
        Ok(code)
    })
}

extern "C" fn extension(_id: RStr<'_>) -> *const c_void {
    ptr::null()
}
