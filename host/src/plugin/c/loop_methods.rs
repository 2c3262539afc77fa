//! `loophost_host.loops`: the methods of every loop, for plugins in C.

use std::{
    ffi::{c_char, c_int, c_void},
    ptr,
};

use loophost_plugin_api::{
    __private::Growing, Callback, Fd, HandleId, Interest, LoopHandle, Op, OpCode, RepeatCallback, Stat,
};

use super::{
    abi::{CError, CExceptionContext, CRepeatCallback, LoopTable},
    callback::with_context,
    convert::{InC, asks_handle},
    result::{answer, guarded, lent, missing, put},
    text,
};

pub(super) static LOOPS: LoopTable = LoopTable {
    drop: Some(drop_handle),
    run_forever: Some(run_forever),
    run_once: Some(run_once),
    stop: Some(stop),
    close: Some(close),
    is_running: Some(is_running),
    is_closed: Some(is_closed),
    poll_handle: Some(poll_handle),
    next_deadline: Some(next_deadline),
    call_soon: Some(call_soon),
    call_soon_threadsafe: Some(call_soon_threadsafe),
    call_at: Some(call_at),
    cancel: Some(cancel),
    time: Some(time),
    add_reader: Some(add_reader),
    remove_reader: Some(remove_reader),
    add_writer: Some(add_writer),
    remove_writer: Some(remove_writer),
    watch_io: Some(watch_io),
    rearm_io: Some(rearm_io),
    unwatch_io: Some(unwatch_io),
    add_signal_handler: Some(add_signal_handler),
    remove_signal_handler: Some(remove_signal_handler),
    submit: Some(submit),
    cancel_op: Some(cancel_op),
    supports: Some(supports),
    capabilities: Some(capabilities),
    name: Some(name),
    stat: Some(stat),
    set_debug: Some(set_debug),
    set_exception_handler: Some(set_exception_handler),
    call_exception_handler: Some(call_exception_handler),
    extension: Some(extension),
    ..LoopTable::EMPTY
};

asks_handle! { LoopHandle:
    fn stop() -> say ();
    fn close() -> say ();
    fn poll_handle() -> out Fd;
    fn next_deadline() -> out u64;
    fn call_soon(callback: Callback) -> out HandleId;
    fn call_soon_threadsafe(callback: Callback) -> out HandleId;
    fn call_at(when_ns: u64, callback: Callback) -> out HandleId;
    fn cancel(id: HandleId) -> say bool;
    fn add_reader(fd: Fd, callback: RepeatCallback) -> say ();
    fn remove_reader(fd: Fd) -> say bool;
    fn add_writer(fd: Fd, callback: RepeatCallback) -> say ();
    fn remove_writer(fd: Fd) -> say bool;
    fn watch_io(fd: Fd, interest: Interest, callback: RepeatCallback) -> out HandleId;
    fn rearm_io(id: HandleId, interest: Interest) -> say ();
    fn unwatch_io(id: HandleId) -> say bool;
    fn add_signal_handler(signum: i32, callback: RepeatCallback) -> say ();
    fn remove_signal_handler(signum: i32) -> say bool;
    fn cancel_op(id: HandleId) -> say bool;
    fn set_debug(on: bool) -> say ();
}

/// The loop behind a handle, for functions that cannot fail.
///
/// # Safety
/// As [`lent`].
unsafe fn look<R>(handle: *mut c_void, fallback: R, f: impl FnOnce(&LoopHandle) -> R) -> R {
    // SAFETY: the caller's guarantee.
    let handle = unsafe { handle.cast::<LoopHandle>().as_ref() };
    match handle {
        Some(handle) => guarded(fallback, || f(handle)),
        None => fallback,
    }
}

unsafe extern "C" fn drop_handle(handle: *mut c_void) {
    // SAFETY: `loophost.h` has the plugin pass a handle of its own, for the last time.
    unsafe { super::handles::free(handle.cast::<LoopHandle>()) }
}

unsafe extern "C" fn run_forever(
    handle: *mut c_void,
    outermost: *mut LoopHandle,
    error: *mut CError,
) -> c_int {
    // SAFETY: `loophost.h` has the plugin pass handles of loops, and a place for the error.
    unsafe {
        answer(error, || {
            let handle = lent(handle.cast::<LoopHandle>(), "the handle")?;
            handle.run_forever_as(outermost.as_ref().unwrap_or(handle))
        })
    }
}

unsafe extern "C" fn run_once(
    handle: *mut c_void,
    outermost: *mut LoopHandle,
    timeout_ns: u64,
    error: *mut CError,
) -> c_int {
    // SAFETY: as above.
    unsafe {
        answer(error, || {
            let handle = lent(handle.cast::<LoopHandle>(), "the handle")?;
            handle.run_once_as(outermost.as_ref().unwrap_or(handle), timeout_ns)
        })
    }
}

unsafe extern "C" fn submit(
    handle: *mut c_void,
    op: *const Op,
    callback: CRepeatCallback,
    id: *mut u64,
    error: *mut CError,
) -> c_int {
    // SAFETY: as above; what `op` points to lives inside the callback, as `loophost.h` has it.
    unsafe {
        answer(error, || {
            let callback = RepeatCallback::from_c(callback)?;
            let op = op.as_ref().ok_or_else(|| missing("the operation"))?;
            let handle = lent(handle.cast::<LoopHandle>(), "the handle")?;
            put(id, handle.submit(op, callback)?.0)
        })
    }
}

unsafe extern "C" fn set_exception_handler(
    handle: *mut c_void,
    handler: CRepeatCallback,
    error: *mut CError,
) -> c_int {
    // SAFETY: as above.
    unsafe {
        answer(error, || {
            let handler = handler.take();
            lent(handle.cast::<LoopHandle>(), "the handle")?.set_exception_handler(handler)
        })
    }
}

unsafe extern "C" fn call_exception_handler(
    handle: *mut c_void,
    context: *const CExceptionContext,
    error: *mut CError,
) -> c_int {
    // SAFETY: as above.
    unsafe {
        answer(error, || {
            let handle = lent(handle.cast::<LoopHandle>(), "the handle")?;
            with_context(context, |message, error, details| {
                handle.call_exception_handler(message, error, details)
            })
        })
    }
}

unsafe extern "C" fn is_running(handle: *mut c_void) -> c_int {
    // SAFETY: `loophost.h` has the plugin pass the handle of a loop.
    unsafe { look(handle, false, LoopHandle::is_running) }.into()
}

unsafe extern "C" fn is_closed(handle: *mut c_void) -> c_int {
    // SAFETY: as above.
    unsafe { look(handle, false, LoopHandle::is_closed) }.into()
}

unsafe extern "C" fn time(handle: *mut c_void) -> u64 {
    // SAFETY: as above.
    unsafe { look(handle, 0, LoopHandle::time) }
}

unsafe extern "C" fn supports(handle: *mut c_void, op_code: u32) -> c_int {
    // SAFETY: as above.
    unsafe { look(handle, false, |handle| handle.supports(OpCode(op_code))) }.into()
}

unsafe extern "C" fn capabilities(handle: *mut c_void) -> u64 {
    // SAFETY: as above.
    unsafe { look(handle, 0, LoopHandle::capabilities) }
}

unsafe extern "C" fn name(handle: *mut c_void, buffer: *mut c_char, room: usize) -> usize {
    // SAFETY: as above; the buffer has that room.
    unsafe { text::write(&look(handle, "?".into(), LoopHandle::name), buffer, room) }
}

unsafe extern "C" fn stat(handle: *mut c_void, code: u32, value: *mut u64) -> c_int {
    // SAFETY: as above; the figure has a place.
    unsafe {
        let figure = look(handle, None, |handle| handle.stat(Stat(code)));
        figure.is_some_and(|figure| put(value, figure).is_ok()).into()
    }
}

unsafe extern "C" fn extension(handle: *mut c_void, id: *const c_char) -> *const c_void {
    // SAFETY: as above; the id is text.
    unsafe { look(handle, ptr::null(), |handle| handle.extension(&text::shown(id))) }
}
