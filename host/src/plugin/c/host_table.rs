//! `struct loophost_host`: what plugins in C may ask of the host, out of the table that those in Rust get.

use std::{
    ffi::{c_char, c_int, c_void},
    ptr,
    sync::OnceLock,
};

use loophost_plugin_api::{
    __private::{HostServices_Ref, LentRecord, LogField, LogRecord, growing},
    ABI_MINOR, ChildExit, Error, HandleId, LoopHandle, Options, PolicyHandle, RepeatCallback, WatcherHandle,
    host,
};

use super::{
    abi::{CError, CKeyValue, CLogRecord, CRepeatCallback, HostFunctions, HostTable},
    callback,
    child_watcher::WATCHERS,
    convert::InC,
    handles,
    loop_methods::LOOPS,
    policy::POLICIES,
    result::{answer, lent, put},
    text,
};
use crate::services;

// SAFETY: it is never written, and what it points to are statics.
unsafe impl Send for HostTable {}
// SAFETY: as above.
unsafe impl Sync for HostTable {}

pub(super) fn table() -> &'static HostTable {
    static TABLE: OnceLock<HostTable> = OnceLock::new();
    TABLE.get_or_init(|| {
        services::install();
        HostTable {
            struct_size: size_of::<HostTable>() as u32,
            abi_minor: ABI_MINOR,
            loops: &raw const LOOPS,
            watchers: &raw const WATCHERS,
            policies: &raw const POLICIES,
            functions: FUNCTIONS,
        }
    })
}

const FUNCTIONS: HostFunctions = HostFunctions {
    make_loop: handles::make_loop,
    make_watcher: handles::make_watcher,
    make_policy: handles::make_policy,
    clone_loop: handles::clone_loop,
    clone_watcher: handles::clone_watcher,
    clone_policy: handles::clone_policy,
    free_loop: handles::free_loop,
    free_watcher: handles::free_watcher,
    free_policy: handles::free_policy,
    same_loop: handles::same_loop,
    same_watcher: handles::same_watcher,
    same_policy: handles::same_policy,
    make_callback: callback::make_callback,
    make_repeat_callback: callback::make_repeat_callback,
    call: callback::call,
    call_repeat: callback::call_repeat,
    drop_callback: callback::drop_callback,
    drop_repeat_callback: callback::drop_repeat_callback,
    callback_name: callback::callback_name,
    log_enabled,
    log,
    process_number,
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
};

fn services() -> HostServices_Ref {
    services::table()
}

unsafe extern "C" fn log_enabled(level: u32, target: *const c_char) -> c_int {
    // SAFETY: `loophost.h` has the plugin pass text.
    let target = unsafe { text::shown(target) };
    services().log_enabled()(level, (&*target).into()).into()
}

unsafe extern "C" fn log(record: *const CLogRecord) {
    // SAFETY: `loophost.h` has the plugin pass a record that begins with its size.
    unsafe {
        let Some(record) = growing::read(record) else { return };
        let [target, file, message] =
            [record.target, record.file, record.message].map(|text| text::shown(text));
        let fields = text::pairs(record.fields, record.fields_len);
        let fields: Vec<_> = fields
            .iter()
            .map(|field| LogField { name: field.key().into(), value: field.value().into() })
            .collect();
        let mut forwarded = LogRecord::new(record.level, &target, &message);
        forwarded.line = record.line;
        forwarded.file = (&*file).into();
        forwarded.fields = fields.as_slice().into();
        services().log()(LentRecord::new(&forwarded));
    }
}

unsafe extern "C" fn process_number() -> u64 {
    host::process_number()
}

unsafe extern "C" fn enter_running(
    event_loop: *mut LoopHandle,
    token: *mut u64,
    error: *mut CError,
) -> c_int {
    // SAFETY: `loophost.h` has the plugin pass a handle, and places for result and error.
    unsafe {
        answer(error, || {
            let event_loop = lent(event_loop, "the loop")?;
            put(token, services().enter_running()(event_loop).into_result()?)
        })
    }
}

unsafe extern "C" fn leave_running(token: u64, error: *mut CError) -> c_int {
    // SAFETY: `loophost.h` has the plugin pass a place for the error.
    unsafe { answer(error, || services().leave_running()(token).into_result()) }
}

unsafe extern "C" fn current_loop() -> *mut LoopHandle {
    host::current_loop().map_or(ptr::null_mut(), handles::give)
}

unsafe extern "C" fn get_event_loop_policy(out: *mut *mut PolicyHandle, error: *mut CError) -> c_int {
    // SAFETY: `loophost.h` has the plugin pass places for result and error.
    unsafe { answer(error, || put(out, handles::give(host::get_event_loop_policy()?))) }
}

unsafe extern "C" fn set_event_loop_policy(policy: *mut PolicyHandle, error: *mut CError) -> c_int {
    // SAFETY: `loophost.h` has the plugin pass a handle or NULL, and a place for the error.
    unsafe { answer(error, || host::set_event_loop_policy(policy.as_ref().cloned())) }
}

/// Options of a plugin.
///
/// # Safety
/// As [`text::pairs`].
unsafe fn options(pairs: *const CKeyValue, len: usize) -> Options {
    // SAFETY: the caller's guarantee.
    Options::from_abi(unsafe { text::pairs(pairs, len) }.into())
}

unsafe extern "C" fn new_loop(
    name: *const c_char,
    pairs: *const CKeyValue,
    len: usize,
    out: *mut *mut LoopHandle,
    error: *mut CError,
) -> c_int {
    // SAFETY: `loophost.h` has the plugin pass text, pairs of text, and places for result and error.
    unsafe {
        answer(error, || {
            let event_loop = host::new_loop(text::name(name, "the name of the loop")?, &options(pairs, len))?;
            put(out, handles::give(event_loop))
        })
    }
}

unsafe extern "C" fn new_watcher(
    name: *const c_char,
    pairs: *const CKeyValue,
    len: usize,
    out: *mut *mut WatcherHandle,
    error: *mut CError,
) -> c_int {
    // SAFETY: as above.
    unsafe {
        answer(error, || {
            let watcher =
                host::new_watcher(text::name(name, "the name of the watcher")?, &options(pairs, len))?;
            put(out, handles::give(watcher))
        })
    }
}

unsafe extern "C" fn signal_subscribe(
    signum: i32,
    callback: CRepeatCallback,
    id: *mut u64,
    error: *mut CError,
) -> c_int {
    // SAFETY: `loophost.h` has the plugin give a callback away, and pass places for result and error.
    unsafe {
        answer(error, || {
            let callback = RepeatCallback::from_c(callback)?;
            put(id, host::signal_subscribe(signum, callback)?.0)
        })
    }
}

unsafe extern "C" fn signal_unsubscribe(id: u64, error: *mut CError) -> c_int {
    // SAFETY: `loophost.h` has the plugin pass a place for the error.
    unsafe { answer(error, || host::signal_unsubscribe(HandleId(id))) }
}

unsafe extern "C" fn reap(pid: i64, out: *mut ChildExit, error: *mut CError) -> c_int {
    // SAFETY: `loophost.h` has the plugin pass a place for the exit, which begins with its size, and one for the error.
    unsafe {
        answer(error, || {
            // Before the status is taken, which is done once.
            if growing::read(out).is_none() {
                return Err(Error::invalid_argument(
                    "the place for the exit is missing or too small: set the size of loophost_child_exit first",
                ));
            }
            let (code, exit) = host::reap(pid)?.to_abi();
            growing::write(out, &exit);
            Ok(code)
        })
    }
}

unsafe extern "C" fn extension(id: *const c_char) -> *const c_void {
    // SAFETY: `loophost.h` has the plugin pass text.
    let id = unsafe { text::shown(id) };
    services().extension()((&*id).into())
}
