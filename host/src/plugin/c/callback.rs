//! Callbacks and what they are told, both ways.
//!
//! A callback is four words in C too: those of [`Callback`], which a plugin keeps and never looks into.

use std::{
    ffi::{c_char, c_int, c_void},
    marker::PhantomData,
    mem::{self, ManuallyDrop, MaybeUninit},
    ptr,
};

use loophost_plugin_api::{
    __private::growing, Callback, ChildExit, Error, Event, EventKind, ExceptionContext, KeyValue,
    RepeatCallback,
};

use super::{
    abi::{CCallback, CError, CEvent, CExceptionContext, CRepeatCallback, CallFn, DropFn},
    result::{answer, ask, guarded, missing},
    text::{self, Pairs},
};

/// A callback as a plugin holds it. It has one owner, which nobody enforces in C.
#[repr(C)]
pub(super) struct Words<C> {
    words: [MaybeUninit<usize>; 4],
    callback: PhantomData<C>,
}

const _: () = assert!(
    size_of::<Callback>() == size_of::<CCallback>()
        && size_of::<RepeatCallback>() == size_of::<CRepeatCallback>()
);

/// One of the two kinds of callbacks.
///
/// # Safety
/// It has the size of [`Words`], and its last word is never zero.
pub(super) unsafe trait Kind: Sized {}
// SAFETY: the last of its four words is a reference; the size is asserted above.
unsafe impl Kind for Callback {}
// SAFETY: as above.
unsafe impl Kind for RepeatCallback {}

impl<C: Kind> Words<C> {
    pub(super) const NONE: Self = Self { words: [MaybeUninit::zeroed(); 4], callback: PhantomData };

    /// Gives a callback away to the plugin.
    pub(super) fn give(callback: C) -> Self {
        let callback = ManuallyDrop::new(callback);
        // SAFETY: `Kind` guarantees that both have the same size; the callback is forgotten here.
        unsafe { mem::transmute_copy(&callback) }
    }

    /// Takes what a plugin has given away; `None` if it is none.
    ///
    /// # Safety
    /// The words are zero or came from [`give`](Self::give), and this is the one place that holds them.
    pub(super) unsafe fn take(self) -> Option<C> {
        if self.is_none() {
            return None;
        }
        // SAFETY: the caller's guarantee, and they are not those of none.
        Some(unsafe { mem::transmute_copy(&self) })
    }

    fn is_none(&self) -> bool {
        // SAFETY: `Kind` guarantees that the last word of a callback has a value, and none has zeros.
        unsafe { self.words[3].assume_init() == 0 }
    }

    /// Takes it out of the plugin's variable, which holds none afterwards.
    ///
    /// # Safety
    /// `place` is null or may be written, and what is there is as for [`take`](Self::take).
    unsafe fn take_from(place: *mut Self) -> Option<C> {
        if place.is_null() {
            return None;
        }
        // SAFETY: the caller's guarantee, and it is not null.
        unsafe { place.replace(Self::NONE).take() }
    }

    /// Where it is in the plugin's variable.
    ///
    /// # Safety
    /// As [`take_from`](Self::take_from).
    unsafe fn find(place: *const Self) -> Option<*const C> {
        // SAFETY: the caller's guarantee.
        unsafe { place.as_ref() }.filter(|words| !words.is_none()).map(|_| place.cast())
    }
}

#[cold]
pub(super) fn none() -> Error {
    Error::invalid_argument("there is no callback: it was called or dropped already, or never made")
}

/// A plugin's function and its data.
struct Function {
    call: CallFn,
    drop: Option<DropFn>,
    data: *mut c_void,
}

// SAFETY: `loophost.h` has a plugin allow calls on the thread that the receiver documents, and the drop on any.
unsafe impl Send for Function {}

impl Function {
    fn call(&self, event: &Event<'_>) -> Result<(), Error> {
        with_c_event(event, |event| {
            // SAFETY: function and data belong together, as `make_callback` says; the event is lent for the call.
            ask("a callback", |error| unsafe { (self.call)(self.data, event, error) })
        })?;
        Ok(())
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        if let Some(drop) = self.drop {
            // SAFETY: as above; dropped once, here.
            unsafe { drop(self.data) }
        }
    }
}

/// The function, if there is one; else its data is dropped at once.
fn function(call: Option<CallFn>, drop: Option<DropFn>, data: *mut c_void) -> Option<Function> {
    match (call, drop) {
        (Some(call), drop) => Some(Function { call, drop, data }),
        (None, Some(drop)) => {
            // SAFETY: function and data belong together, and nobody else drops them.
            unsafe { drop(data) };
            None
        }
        (None, None) => None,
    }
}

pub(super) unsafe extern "C" fn make_callback(
    call: Option<CallFn>,
    drop: Option<DropFn>,
    data: *mut c_void,
) -> CCallback {
    let function = function(call, drop, data);
    function.map_or(Words::NONE, |function| Words::give(Callback::new(move |event| function.call(event))))
}

pub(super) unsafe extern "C" fn make_repeat_callback(
    call: Option<CallFn>,
    drop: Option<DropFn>,
    data: *mut c_void,
) -> CRepeatCallback {
    let function = function(call, drop, data);
    function
        .map_or(Words::NONE, |function| Words::give(RepeatCallback::new(move |event| function.call(event))))
}

pub(super) unsafe extern "C" fn call(
    callback: *mut CCallback,
    event: *const CEvent,
    error: *mut CError,
) -> c_int {
    // SAFETY: `loophost.h` has the plugin give a callback of its own, an event and a place for the error.
    unsafe {
        answer(error, || {
            // Not taken for an event that makes no sense.
            with_event(event, |event| Words::take_from(callback).ok_or_else(none)?.call(event))
        })
    }
}

pub(super) unsafe extern "C" fn call_repeat(
    callback: *mut CRepeatCallback,
    event: *const CEvent,
    error: *mut CError,
) -> c_int {
    // SAFETY: as for `call`; the plugin keeps the callback where it is meanwhile.
    unsafe {
        answer(error, || {
            let callback = Words::find(callback.cast_const()).ok_or_else(none)?.cast_mut();
            with_event(event, |event| (*callback).call(event))
        })
    }
}

pub(super) unsafe extern "C" fn drop_callback(callback: *mut CCallback) {
    // SAFETY: as for `call`.
    guarded((), || drop(unsafe { Words::take_from(callback) }));
}

pub(super) unsafe extern "C" fn drop_repeat_callback(callback: *mut CRepeatCallback) {
    // SAFETY: as for `call`.
    guarded((), || drop(unsafe { Words::take_from(callback) }));
}

/// For callbacks of either kind: they differ in how often they are called, and not in how they are laid out.
pub(super) unsafe extern "C" fn callback_name(
    callback: *const CCallback,
    buffer: *mut c_char,
    room: usize,
) -> usize {
    // SAFETY: as for `call`; the name needs the last word only, whatever has become of the rest. The buffer has that room.
    guarded(0, || unsafe {
        let name =
            Words::find(callback).map_or_else(|| "?".into(), |callback| (*callback).name().to_string());
        text::write(&name, buffer, room)
    })
}

/// Shows an event to a plugin.
fn with_c_event<R>(event: &Event<'_>, f: impl FnOnce(*const CEvent) -> R) -> R {
    let mut shown = CEvent {
        kind: event.kind().0,
        flags: event.flags,
        result: event.result,
        aux: event.aux,
        data: ptr::null(),
    };
    let exit = event.child_exit();
    if let Some(exit) = &exit {
        shown.data = ptr::from_ref(exit).cast();
    }
    match event.exception() {
        None => f(&raw const shown),
        Some(context) => {
            let details = context.details.as_slice();
            with_c_context(context.message.as_str(), context.error, details, |context| {
                shown.data = context.cast();
                f(&raw const shown)
            })
        }
    }
}

/// Shows the context of an error to a plugin.
pub(super) fn with_c_context<R>(
    message: &str,
    error: Option<&Error>,
    details: &[KeyValue],
    f: impl FnOnce(*const CExceptionContext) -> R,
) -> R {
    let (message, error, details) = (text::to_c(message), error.map(CError::of), Pairs::new(details));
    let context = CExceptionContext {
        struct_size: size_of::<CExceptionContext>() as u32,
        message: message.as_ptr(),
        error: error.as_ref().map_or(ptr::null(), ptr::from_ref),
        details: details.as_ptr(),
        details_len: details.len(),
    };
    f(&raw const context)
}

/// Reads the context of an error that a plugin has made.
///
/// # Safety
/// `context` is null, or as `loophost.h` has it.
pub(super) unsafe fn with_context<R>(
    context: *const CExceptionContext,
    f: impl FnOnce(&str, Option<Error>, Vec<KeyValue>) -> Result<R, Error>,
) -> Result<R, Error> {
    // SAFETY: the caller's guarantee.
    let (copy, size) = unsafe { (growing::read(context), context.cast::<u32>().as_ref()) };
    let context = copy.ok_or_else(|| match size {
        None => missing("loophost_exception_context"),
        Some(size) => Error::invalid_argument(format!(
            "loophost_exception_context is too small: its struct_size is {size}"
        )),
    })?;
    // SAFETY: as above.
    let (message, error, details) = unsafe {
        (
            text::shown(context.message),
            context.error.as_ref().map(|error| error.to_error("a callback")),
            text::pairs(context.details, context.details_len),
        )
    };
    f(&message, error, details)
}

/// Reads an event that a plugin has made.
///
/// # Safety
/// `event` is null, or as `loophost.h` has it, and so is what its `data` points to.
unsafe fn with_event<R>(
    event: *const CEvent,
    f: impl FnOnce(&Event<'_>) -> Result<R, Error>,
) -> Result<R, Error> {
    // SAFETY: the caller's guarantee.
    let event = unsafe { event.as_ref() }.ok_or_else(|| missing("the event"))?;
    match EventKind(event.kind) {
        EventKind::CHILD => {
            // SAFETY: the caller's guarantee: of this kind it is a child's exit, which begins with its size.
            let exit = unsafe { growing::read::<ChildExit>(event.data.cast()) };
            let exit = exit.ok_or_else(|| {
                Error::invalid_argument(
                    "the event of a child has no loophost_child_exit, or one without its size",
                )
            })?;
            let pid = i64::try_from(event.aux).unwrap_or(0);
            f(&Event::child(pid, &exit, event.flags))
        }
        // SAFETY: the caller's guarantee: of this kind it is a context.
        EventKind::EXCEPTION => unsafe {
            with_context(event.data.cast(), |message, error, details| {
                f(&ExceptionContext::new(message, error.as_ref(), &details).event())
            })
        },
        kind => {
            let mut told = Event::with_result(kind, event.result);
            (told.flags, told.aux) = (event.flags, event.aux);
            f(&told)
        }
    }
}
