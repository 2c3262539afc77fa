//! libuv.so.1: found, opened, and its functions.

use std::{
    ffi::{c_int, c_uint, c_void},
    mem::ManuallyDrop,
    path::Path,
};

use libloading::os::unix::{Library as Handle, RTLD_LOCAL, RTLD_NOW};
use loophost_plugin_api::{Error, ErrorCode};

/// What the system's loader looks for; libuv 1.x has had this name all along.
const DEFAULT: &str = "libuv.so.1";
/// Since 1.41 `uv_poll_start` does not take a number that was closed and is used again for the same file.
const MINIMUM: (c_uint, c_uint) = (1, 41);

/// The beginning of a `uv_loop_t`: what libuv documents as public.
#[repr(C)]
pub(super) struct LoopHead {
    pub(super) data: *mut c_void,
}

/// The beginning of every handle: what libuv documents as public.
#[repr(C)]
pub(super) struct HandleHead {
    pub(super) data: *mut c_void,
    pub(super) event_loop: *mut LoopHead,
}

pub(super) type HandleCallback = unsafe extern "C" fn(*mut HandleHead);
pub(super) type PollCallback = unsafe extern "C" fn(*mut HandleHead, c_int, c_int);

/// `uv_handle_type`.
#[derive(Clone, Copy)]
#[repr(i32)]
pub(super) enum HandleType {
    Async = 1,
    Check = 2,
    Idle = 6,
    Poll = 8,
    Prepare = 9,
    Timer = 13,
}

/// `uv_run_mode`: until `uv_stop`.
pub(super) const RUN_DEFAULT: c_int = 0;
/// `uv_run_mode`: one turn.
pub(super) const RUN_ONCE: c_int = 1;
/// `uv_run_mode`: one turn that does not wait.
pub(super) const RUN_NOWAIT: c_int = 2;

/// Declares functions of libuv, and how they are found.
macro_rules! functions {
    ($($name:ident: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The functions of libuv that are used, as its `uv.h` declares them.
        pub(super) struct Functions {
            $(pub(super) $name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl Functions {
            /// # Safety
            /// The library is a libuv 1.x, whose functions have these types.
            unsafe fn find(library: &Handle) -> Result<Self, libloading::Error> {
                Ok(Self {
                    // SAFETY: the caller guarantees the type; the library is never closed.
                    $($name: *unsafe { library.get(stringify!($name)) }?,)*
                })
            }
        }
    };
}

functions! {
    uv_loop_size: fn() -> usize;
    uv_loop_init: fn(*mut LoopHead) -> c_int;
    uv_loop_close: fn(*mut LoopHead) -> c_int;
    uv_run: fn(*mut LoopHead, c_int) -> c_int;
    uv_stop: fn(*mut LoopHead);
    uv_update_time: fn(*mut LoopHead);
    uv_backend_fd: fn(*const LoopHead) -> c_int;
    uv_backend_timeout: fn(*const LoopHead) -> c_int;
    uv_handle_size: fn(HandleType) -> usize;
    uv_close: fn(*mut HandleHead, HandleCallback);
    uv_async_init: fn(*mut LoopHead, *mut HandleHead, HandleCallback) -> c_int;
    uv_async_send: fn(*mut HandleHead) -> c_int;
    uv_timer_init: fn(*mut LoopHead, *mut HandleHead) -> c_int;
    uv_timer_start: fn(*mut HandleHead, HandleCallback, u64, u64) -> c_int;
    uv_timer_stop: fn(*mut HandleHead) -> c_int;
    uv_idle_init: fn(*mut LoopHead, *mut HandleHead) -> c_int;
    uv_idle_start: fn(*mut HandleHead, HandleCallback) -> c_int;
    uv_idle_stop: fn(*mut HandleHead) -> c_int;
    uv_prepare_init: fn(*mut LoopHead, *mut HandleHead) -> c_int;
    uv_prepare_start: fn(*mut HandleHead, HandleCallback) -> c_int;
    uv_check_init: fn(*mut LoopHead, *mut HandleHead) -> c_int;
    uv_check_start: fn(*mut HandleHead, HandleCallback) -> c_int;
    uv_poll_init: fn(*mut LoopHead, *mut HandleHead, c_int) -> c_int;
    uv_poll_start: fn(*mut HandleHead, c_int, PollCallback) -> c_int;
    uv_poll_stop: fn(*mut HandleHead) -> c_int;
}

/// libuv in this process. It is never closed: its loops may outlive whoever has opened it.
pub(crate) struct Library {
    pub(super) functions: Functions,
    _handle: ManuallyDrop<Handle>,
}

impl Library {
    /// Opens libuv: the system's, or another file, which is code that runs from now on.
    ///
    /// # Errors
    /// `NotFound` if it is not there or cannot be loaded, `NotSupported` if it is another version, with both;
    /// `InvalidArgument` for a path that depends on the working folder.
    pub(crate) fn open(path: Option<&str>) -> Result<Self, Error> {
        let name = path.unwrap_or(DEFAULT);
        if name.contains('/') && !Path::new(name).is_absolute() {
            return Err(Error::invalid_argument(format!(
                "option library={name}: give an absolute path, or a name without a slash for the system's loader"
            )));
        }
        // SAFETY: running the constructors of a library is unsafe; the system's own libraries, or whoever may set
        // options of a plugin and so choose code, guarantee that they do no harm.
        let opened = unsafe { Handle::open(Some(name), RTLD_NOW | RTLD_LOCAL) };
        let handle = ManuallyDrop::new(opened.map_err(|error| not_found(name, &error))?);
        // SAFETY: `uv_version` has had this type since there has been a libuv.
        let version = unsafe { handle.get::<unsafe extern "C" fn() -> c_uint>("uv_version") };
        let version = version.map_err(|error| not_libuv(name, &error))?;
        // SAFETY: it reads a constant.
        check_version(name, unsafe { version() })?;
        // SAFETY: it is a libuv 1.x, whose functions keep their types.
        let functions = unsafe { Functions::find(&handle) }.map_err(|error| not_libuv(name, &error))?;
        Ok(Self { functions, _handle: handle })
    }
}

fn check_version(name: &str, version: c_uint) -> Result<(), Error> {
    let (major, minor, patch) = (version >> 16, version >> 8 & 0xff, version & 0xff);
    if major == MINIMUM.0 && minor >= MINIMUM.1 {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::NOT_SUPPORTED,
        format!(
            "{name} is libuv {major}.{minor}.{patch}, but this plugin needs libuv {}.{} or a newer {}.x: \
             install that, or say where it is with the option library",
            MINIMUM.0, MINIMUM.1, MINIMUM.0
        ),
    ))
}

fn not_found(name: &str, error: &libloading::Error) -> Error {
    let reason = text(error);
    // That it is not there, or another library that it needs.
    let is_missing = reason.contains("No such file");
    let what = if is_missing { "not found" } else { "cannot be loaded" };
    let way_out = "install libuv1 (as Debian calls it), or name its file with the option library";
    Error::new(ErrorCode::NOT_FOUND, format!("{name} {what}: {way_out}; the loader says: {reason}"))
}

fn not_libuv(name: &str, error: &libloading::Error) -> Error {
    Error::new(ErrorCode::NOT_SUPPORTED, format!("{name} is not libuv; the loader says: {}", text(error)))
}

/// The loader's own text, which libloading keeps in the source.
fn text(error: &libloading::Error) -> String {
    std::error::Error::source(error).unwrap_or(error).to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn other_versions_are_refused_with_both() {
        let packed = |major: c_uint, minor: c_uint, patch: c_uint| major << 16 | minor << 8 | patch;
        for version in [packed(1, 41, 0), packed(1, 44, 2), packed(1, 255, 9)] {
            check_version("libuv.so.1", version).unwrap();
        }
        for (version, text) in
            [(packed(1, 40, 3), "1.40.3"), (packed(0, 99, 0), "0.99.0"), (packed(2, 50, 0), "2.50.0")]
        {
            let error = check_version("libuv.so.1", version).unwrap_err();
            let message = error.message();
            assert!(
                message.contains(&format!("libuv {text}")) && message.contains("libuv 1.41"),
                "{message}"
            );
        }
    }
}
