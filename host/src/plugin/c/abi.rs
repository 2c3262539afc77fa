//! The types of `loophost.h`, member by member; a test compares the layouts.

use std::{
    ffi::{c_char, c_int, c_void},
    mem::offset_of,
    ptr,
};

use loophost_plugin_api::{
    __private::Growing, Callback, ChildExit, LoopHandle, Op, PolicyHandle, RepeatCallback, WatcherHandle,
};

use super::callback::Words;

/// `struct loophost_error`.
#[repr(C)]
pub(super) struct CError {
    pub(super) code: u32,
    pub(super) os_errno: i32,
    pub(super) message: [u8; 504],
}

/// `struct loophost_key_value`.
#[repr(C)]
pub(super) struct CKeyValue {
    pub(super) key: *const c_char,
    pub(super) value: *const c_char,
}

/// `struct loophost_exception_context`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct CExceptionContext {
    pub(super) struct_size: u32,
    pub(super) message: *const c_char,
    pub(super) error: *const CError,
    pub(super) details: *const CKeyValue,
    pub(super) details_len: usize,
}

// SAFETY: it is as the trait wants it.
unsafe impl Growing for CExceptionContext {
    const SMALLEST: usize = offset_of!(Self, details_len) + size_of::<usize>();
    const EMPTY: Self = Self {
        struct_size: size_of::<Self>() as u32,
        message: ptr::null(),
        error: ptr::null(),
        details: ptr::null(),
        details_len: 0,
    };
}

/// `struct loophost_event`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct CEvent {
    pub(super) kind: u32,
    pub(super) flags: u32,
    pub(super) result: i64,
    pub(super) aux: u64,
    pub(super) data: *const c_void,
}

/// `struct loophost_log_record`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct CLogRecord {
    pub(super) struct_size: u32,
    pub(super) level: u32,
    pub(super) line: u32,
    pub(super) target: *const c_char,
    pub(super) file: *const c_char,
    pub(super) message: *const c_char,
    pub(super) fields: *const CKeyValue,
    pub(super) fields_len: usize,
}

// SAFETY: it is as the trait wants it.
unsafe impl Growing for CLogRecord {
    const SMALLEST: usize = offset_of!(Self, fields_len) + size_of::<usize>();
    const EMPTY: Self = Self {
        struct_size: size_of::<Self>() as u32,
        level: 0,
        line: 0,
        target: ptr::null(),
        file: ptr::null(),
        message: ptr::null(),
        fields: ptr::null(),
        fields_len: 0,
    };
}

/// `struct loophost_callback`.
pub(super) type CCallback = Words<Callback>;
/// `struct loophost_repeat_callback`.
pub(super) type CRepeatCallback = Words<RepeatCallback>;

/// `loophost_call_fn`.
pub(super) type CallFn = unsafe extern "C" fn(*mut c_void, *const CEvent, *mut CError) -> c_int;
/// `loophost_drop_fn`.
pub(super) type DropFn = unsafe extern "C" fn(*mut c_void);

/// A struct of functions that begins with its size; all but the size may be missing.
pub(super) trait Table: Growing {
    /// What it is called in C.
    const NAME: &'static str;
    #[cfg(test)]
    fn members() -> Vec<Function>;
}

/// A member of a table, as the test that compares it with the header wants it.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) offset: usize,
    /// In the words of Rust.
    pub(super) arguments: &'static [&'static str],
    /// `None`: void.
    pub(super) result: Option<&'static str>,
}

#[cfg(test)]
macro_rules! described {
    ($member:ident: fn($($argument:ty),*) $(-> $result:ty)?) => {
        Function {
            name: stringify!($member),
            offset: offset_of!(Self, $member),
            arguments: &[$(stringify!($argument)),*],
            result: [$(stringify!($result))?].first().copied(),
        }
    };
}

/// `last` is the last member that it had in ABI 1.0, and stays so when others come after it.
macro_rules! table {
    ($table:ident = $name:literal, in 1.0 up to $last:ident { $($member:ident: fn($($argument:ty),*) $(-> $result:ty)?;)* }) => {
        #[doc = concat!("`struct ", $name, "`.")]
        #[repr(C)]
        #[derive(Clone, Copy)]
        pub(super) struct $table {
            pub(super) struct_size: u32,
            $(pub(super) $member: Option<unsafe extern "C" fn($($argument),*) $(-> $result)?>,)*
        }

        // SAFETY: it is as the trait wants it.
        unsafe impl Growing for $table {
            const SMALLEST: usize = offset_of!(Self, $last) + size_of::<usize>();
            const EMPTY: Self = Self { struct_size: size_of::<Self>() as u32, $($member: None,)* };
        }

        impl Table for $table {
            const NAME: &'static str = $name;

            #[cfg(test)]
            fn members() -> Vec<Function> {
                vec![$(described!($member: fn($($argument),*) $(-> $result)?),)*]
            }
        }
    };
}

table! { LoopTable = "loophost_loop_vtable", in 1.0 up to extension {
    drop: fn(*mut c_void);
    run_forever: fn(*mut c_void, *mut LoopHandle, *mut CError) -> c_int;
    run_once: fn(*mut c_void, *mut LoopHandle, u64, *mut CError) -> c_int;
    stop: fn(*mut c_void, *mut CError) -> c_int;
    close: fn(*mut c_void, *mut CError) -> c_int;
    is_running: fn(*mut c_void) -> c_int;
    is_closed: fn(*mut c_void) -> c_int;
    poll_handle: fn(*mut c_void, *mut i64, *mut CError) -> c_int;
    next_deadline: fn(*mut c_void, *mut u64, *mut CError) -> c_int;
    call_soon: fn(*mut c_void, CCallback, *mut u64, *mut CError) -> c_int;
    call_soon_threadsafe: fn(*mut c_void, CCallback, *mut u64, *mut CError) -> c_int;
    call_at: fn(*mut c_void, u64, CCallback, *mut u64, *mut CError) -> c_int;
    cancel: fn(*mut c_void, u64, *mut CError) -> c_int;
    time: fn(*mut c_void) -> u64;
    add_reader: fn(*mut c_void, i64, CRepeatCallback, *mut CError) -> c_int;
    remove_reader: fn(*mut c_void, i64, *mut CError) -> c_int;
    add_writer: fn(*mut c_void, i64, CRepeatCallback, *mut CError) -> c_int;
    remove_writer: fn(*mut c_void, i64, *mut CError) -> c_int;
    watch_io: fn(*mut c_void, i64, u32, CRepeatCallback, *mut u64, *mut CError) -> c_int;
    rearm_io: fn(*mut c_void, u64, u32, *mut CError) -> c_int;
    unwatch_io: fn(*mut c_void, u64, *mut CError) -> c_int;
    add_signal_handler: fn(*mut c_void, i32, CRepeatCallback, *mut CError) -> c_int;
    remove_signal_handler: fn(*mut c_void, i32, *mut CError) -> c_int;
    submit: fn(*mut c_void, *const Op, CRepeatCallback, *mut u64, *mut CError) -> c_int;
    cancel_op: fn(*mut c_void, u64, *mut CError) -> c_int;
    supports: fn(*mut c_void, u32) -> c_int;
    capabilities: fn(*mut c_void) -> u64;
    name: fn(*mut c_void, *mut c_char, usize) -> usize;
    stat: fn(*mut c_void, u32, *mut u64) -> c_int;
    set_debug: fn(*mut c_void, c_int, *mut CError) -> c_int;
    set_exception_handler: fn(*mut c_void, CRepeatCallback, *mut CError) -> c_int;
    call_exception_handler: fn(*mut c_void, *const CExceptionContext, *mut CError) -> c_int;
    extension: fn(*mut c_void, *const c_char) -> *const c_void;
}}

table! { WatcherTable = "loophost_watcher_vtable", in 1.0 up to extension {
    drop: fn(*mut c_void);
    add_child_handler: fn(*mut c_void, i64, i64, CCallback, *mut CError) -> c_int;
    remove_child_handler: fn(*mut c_void, i64, *mut CError) -> c_int;
    attach_loop: fn(*mut c_void, *mut LoopHandle, *mut CError) -> c_int;
    is_active: fn(*mut c_void) -> c_int;
    begin_spawn: fn(*mut c_void, *mut u64, *mut CError) -> c_int;
    end_spawn: fn(*mut c_void, u64, i64, *mut CError) -> c_int;
    close: fn(*mut c_void, *mut CError) -> c_int;
    name: fn(*mut c_void, *mut c_char, usize) -> usize;
    extension: fn(*mut c_void, *const c_char) -> *const c_void;
}}

table! { PolicyTable = "loophost_policy_vtable", in 1.0 up to extension {
    drop: fn(*mut c_void);
    get_event_loop: fn(*mut c_void, *mut PolicyHandle, *mut *mut LoopHandle, *mut CError) -> c_int;
    set_event_loop: fn(*mut c_void, *mut PolicyHandle, *mut LoopHandle, *mut CError) -> c_int;
    new_event_loop: fn(*mut c_void, *mut PolicyHandle, *mut *mut LoopHandle, *mut CError) -> c_int;
    get_child_watcher: fn(*mut c_void, *mut PolicyHandle, *mut *mut WatcherHandle, *mut CError) -> c_int;
    set_child_watcher: fn(*mut c_void, *mut PolicyHandle, *mut WatcherHandle, *mut CError) -> c_int;
    extension: fn(*mut c_void, *const c_char) -> *const c_void;
}}

table! { PluginTable = "loophost_c_plugin", in 1.0 up to extension {
    init: fn(*const HostTable, *mut CError) -> c_int;
    new_policy: fn(*const c_char, *const CKeyValue, usize, *mut PolicyHandle, *mut *mut PolicyHandle, *mut CError) -> c_int;
    new_watcher: fn(*const c_char, *const CKeyValue, usize, *mut WatcherHandle, *mut *mut WatcherHandle, *mut CError) -> c_int;
    extension: fn(*const c_char) -> *const c_void;
}}

/// `struct loophost_host`.
#[repr(C)]
pub(super) struct HostTable {
    pub(super) struct_size: u32,
    pub(super) abi_minor: u32,
    pub(super) loops: *const LoopTable,
    pub(super) watchers: *const WatcherTable,
    pub(super) policies: *const PolicyTable,
    pub(super) functions: HostFunctions,
}

macro_rules! functions {
    ($($member:ident: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The functions of `struct loophost_host`.
        #[repr(C)]
        pub(super) struct HostFunctions {
            $(pub(super) $member: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        #[cfg(test)]
        impl HostFunctions {
            pub(super) fn members() -> Vec<Function> {
                vec![$(described!($member: fn($($argument),*) $(-> $result)?),)*]
            }
        }
    };
}

functions! {
    make_loop: fn(*const LoopTable, *mut c_void, *mut LoopHandle, *mut *mut LoopHandle, *mut CError) -> c_int;
    make_watcher: fn(*const WatcherTable, *mut c_void, *mut WatcherHandle, *mut *mut WatcherHandle, *mut CError) -> c_int;
    make_policy: fn(*const PolicyTable, *mut c_void, *mut PolicyHandle, *mut *mut PolicyHandle, *mut CError) -> c_int;
    clone_loop: fn(*mut LoopHandle) -> *mut LoopHandle;
    clone_watcher: fn(*mut WatcherHandle) -> *mut WatcherHandle;
    clone_policy: fn(*mut PolicyHandle) -> *mut PolicyHandle;
    free_loop: fn(*mut LoopHandle);
    free_watcher: fn(*mut WatcherHandle);
    free_policy: fn(*mut PolicyHandle);
    same_loop: fn(*mut LoopHandle, *mut LoopHandle) -> c_int;
    same_watcher: fn(*mut WatcherHandle, *mut WatcherHandle) -> c_int;
    same_policy: fn(*mut PolicyHandle, *mut PolicyHandle) -> c_int;
    make_callback: fn(Option<CallFn>, Option<DropFn>, *mut c_void) -> CCallback;
    make_repeat_callback: fn(Option<CallFn>, Option<DropFn>, *mut c_void) -> CRepeatCallback;
    call: fn(*mut CCallback, *const CEvent, *mut CError) -> c_int;
    call_repeat: fn(*mut CRepeatCallback, *const CEvent, *mut CError) -> c_int;
    drop_callback: fn(*mut CCallback);
    drop_repeat_callback: fn(*mut CRepeatCallback);
    callback_name: fn(*const CCallback, *mut c_char, usize) -> usize;
    log_enabled: fn(u32, *const c_char) -> c_int;
    log: fn(*const CLogRecord);
    process_number: fn() -> u64;
    enter_running: fn(*mut LoopHandle, *mut u64, *mut CError) -> c_int;
    leave_running: fn(u64, *mut CError) -> c_int;
    current_loop: fn() -> *mut LoopHandle;
    get_event_loop_policy: fn(*mut *mut PolicyHandle, *mut CError) -> c_int;
    set_event_loop_policy: fn(*mut PolicyHandle, *mut CError) -> c_int;
    new_loop: fn(*const c_char, *const CKeyValue, usize, *mut *mut LoopHandle, *mut CError) -> c_int;
    new_watcher: fn(*const c_char, *const CKeyValue, usize, *mut *mut WatcherHandle, *mut CError) -> c_int;
    signal_subscribe: fn(i32, CRepeatCallback, *mut u64, *mut CError) -> c_int;
    signal_unsubscribe: fn(u64, *mut CError) -> c_int;
    reap: fn(i64, *mut ChildExit, *mut CError) -> c_int;
    extension: fn(*const c_char) -> *const c_void;
}
