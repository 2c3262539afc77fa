//! Results: −1 and an error, or a number.

use std::ffi::c_int;

use loophost_plugin_api::{
    __private::{growing, guard},
    Error, ErrorCode,
};

use super::{
    abi::{CError, Table},
    text,
};

impl CError {
    pub(super) const NONE: Self = Self { code: 0, os_errno: 0, message: [0; 504] };

    pub(super) fn of(error: &Error) -> Self {
        let mut this = Self::NONE;
        this.code = error.code().0;
        this.os_errno = error.os_errno().unwrap_or(0);
        text::cut(error.message(), &mut this.message);
        this
    }

    /// The error of `what`.
    pub(super) fn to_error(&self, what: &str) -> Error {
        let message = match &*text::read(&self.message) {
            "" => format!("{what} has failed and gave no reason (code {})", self.code),
            message => message.to_owned(),
        };
        Error::new(ErrorCode(self.code), message).with_os_errno(self.os_errno)
    }
}

/// Calls a function of a plugin: whether its answer was "yes".
pub(super) fn ask(what: &str, function: impl FnOnce(*mut CError) -> c_int) -> Result<bool, Error> {
    let mut error = CError::NONE;
    match function(&raw mut error) {
        ..0 => Err(error.to_error(what)),
        answer => Ok(answer > 0),
    }
}

/// Answers a plugin: a panic is an error too.
///
/// # Safety
/// `error` is null or may be written.
pub(super) unsafe fn answer<T: Said>(error: *mut CError, f: impl FnOnce() -> Result<T, Error>) -> c_int {
    match guard(f).into_result() {
        Ok(said) => said.say(),
        Err(reason) => {
            if !error.is_null() {
                // SAFETY: the caller's guarantee, and it is not null.
                unsafe { error.write(CError::of(&reason)) };
            }
            -1
        }
    }
}

/// For functions that cannot fail: a panic gives `fallback`.
pub(super) fn guarded<T>(fallback: T, f: impl FnOnce() -> T) -> T {
    guard(|| Ok(f())).into_result().unwrap_or(fallback)
}

/// What a result says as a number.
pub(super) trait Said {
    fn say(self) -> c_int;
}

impl Said for () {
    fn say(self) -> c_int {
        0
    }
}

impl Said for bool {
    fn say(self) -> c_int {
        self.into()
    }
}

/// A code: those that there are fit.
impl Said for u32 {
    fn say(self) -> c_int {
        c_int::try_from(self).unwrap_or(c_int::MAX)
    }
}

/// What a number says.
pub(super) trait Heard {
    fn hear(yes: bool) -> Self;
}

impl Heard for () {
    fn hear(_: bool) {}
}

impl Heard for bool {
    fn hear(yes: bool) -> Self {
        yes
    }
}

/// Writes what comes through an `out`.
///
/// # Safety
/// `out` is null or may be written.
pub(super) unsafe fn put<T>(out: *mut T, value: T) -> Result<(), Error> {
    if out.is_null() {
        return Err(missing("the place for the result"));
    }
    // SAFETY: the caller's guarantee, and it is not null.
    unsafe { out.write(value) };
    Ok(())
}

/// A handle of the plugin's.
///
/// # Safety
/// `handle` is null or one that the host made, and stays for `'a`.
pub(super) unsafe fn lent<'a, H>(handle: *mut H, what: &str) -> Result<&'a H, Error> {
    // SAFETY: the caller's guarantee.
    unsafe { handle.as_ref() }.ok_or_else(|| missing(what))
}

/// A handle that a plugin's function `what` has given.
///
/// # Safety
/// `handle` is null or came from `handles::give`, and the plugin has no use for it any more.
pub(super) unsafe fn receive<H>(handle: *mut H, what: &str) -> Result<H, Error> {
    if handle.is_null() {
        return Err(Error::new(
            ErrorCode::OTHER,
            format!("{what} says that it has worked, and gave nothing"),
        ));
    }
    // SAFETY: the caller's guarantee, and it is not null.
    Ok(*unsafe { Box::from_raw(handle) })
}

#[cold]
pub(super) fn missing(what: &str) -> Error {
    Error::invalid_argument(format!("{what} is missing: it is NULL"))
}

/// No table is larger.
const LARGEST_TABLE: usize = 1 << 16;

/// Copies the table of a plugin. That of a later minor may have more functions at its end, which this host does not know;
/// one of an earlier minor may lack some, which are not overridden then.
///
/// # Safety
/// `table` is null, or the bytes that its first member counts may be read.
pub(super) unsafe fn copy_table<T: Table>(table: *const T) -> Result<T, Error> {
    if table.is_null() {
        return Err(missing(T::NAME));
    }
    let wrong = |why: String| Err(Error::invalid_argument(format!("{} {why}: rebuild the plugin", T::NAME)));
    if !table.is_aligned() {
        return wrong("is not aligned".into());
    }
    // SAFETY: the caller's guarantee; the size comes first.
    let size = unsafe { table.cast::<u32>().read() } as usize;
    if size > LARGEST_TABLE || !size.is_multiple_of(align_of::<T>()) {
        return wrong(format!("makes no sense: its struct_size is {size}"));
    }
    // SAFETY: the caller's guarantee: as many bytes are there.
    let copy = unsafe { growing::read(table) };
    copy.map_or_else(
        || wrong(format!("is too small: its struct_size is {size}, and {} are needed", T::SMALLEST)),
        Ok,
    )
}

/// Refuses a table in which a function is missing that no base can stand in for.
pub(super) fn require(table: &str, functions: &[(&str, bool)]) -> Result<(), Error> {
    match functions.iter().find(|(_, is_there)| !is_there) {
        None => Ok(()),
        Some((function, _)) => Err(Error::invalid_argument(format!(
            "{table} lacks {function}: without a base it cannot be NULL"
        ))),
    }
}
