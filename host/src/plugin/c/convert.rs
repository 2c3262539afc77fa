//! Arguments and results of methods, and the macros that carry a method across with them.

use std::ffi::c_int;

use loophost_plugin_api::{Callback, Error, HandleId, Interest, OpCode, RepeatCallback};

use super::{
    abi::{CCallback, CRepeatCallback},
    callback::{self, Words},
};

/// A type of a method, and what it is in C.
pub(super) trait InC: Sized {
    type C;
    fn to_c(self) -> Self::C;
    /// # Safety
    /// What it is came from a plugin that keeps to `loophost.h`.
    unsafe fn from_c(it: Self::C) -> Result<Self, Error>;
}

macro_rules! in_c {
    ($($type:ty = $c:ty: $to_c:expr, $from_c:expr;)*) => {
        $(impl InC for $type {
            type C = $c;

            fn to_c(self) -> $c {
                $to_c(self)
            }

            unsafe fn from_c(it: $c) -> Result<Self, Error> {
                Ok($from_c(it))
            }
        })*
    };
}

in_c! {
    u64 = u64: |it| it, |it| it;
    i64 = i64: |it| it, |it| it;
    i32 = i32: |it| it, |it| it;
    bool = c_int: c_int::from, |it| it != 0;
    HandleId = u64: |id: Self| id.0, Self;
    Interest = u32: |interest: Self| interest.0, Self;
    OpCode = u32: |code: Self| code.0, Self;
}

impl InC for Callback {
    type C = CCallback;

    fn to_c(self) -> CCallback {
        Words::give(self)
    }

    unsafe fn from_c(it: CCallback) -> Result<Self, Error> {
        // SAFETY: the caller's guarantee: a callback that is passed is given away.
        unsafe { it.take() }.ok_or_else(callback::none)
    }
}

impl InC for RepeatCallback {
    type C = CRepeatCallback;

    fn to_c(self) -> CRepeatCallback {
        Words::give(self)
    }

    unsafe fn from_c(it: CRepeatCallback) -> Result<Self, Error> {
        // SAFETY: the caller's guarantee: a callback that is passed is given away.
        unsafe { it.take() }.ok_or_else(callback::none)
    }
}

/// Methods of an adapter: each asks the plugin's function, or the base if that is missing. The word before `fn` is what
/// the adapter does first; a result after `out` comes through a pointer.
macro_rules! asks_plugin {
    ($($first:ident fn $name:ident($($argument:ident: $type:ty),*) -> $how:ident $result:tt;)*) => {
        $(asks_plugin!{ @one $first fn $name($($argument: $type),*) -> $how $result })*
    };
    (@one $first:ident fn $name:ident($($argument:ident: $type:ty),*) -> out $out:tt) => {
        fn $name(&self, $($argument: $type),*) -> Result<$out, Error> {
            let _first = self.$first()?;
            let Some(function) = self.table.$name else { return delegate!(self, $name($($argument),*)) };
            let mut out = Default::default();
            // SAFETY: the table is that of `data`, and the plugin vouches for what its functions do.
            ask(stringify!($name), |error| unsafe {
                function(self.data, $($argument.to_c(),)* &raw mut out, error)
            })?;
            // SAFETY: it is a number.
            unsafe { <$out as InC>::from_c(out) }
        }
    };
    (@one $first:ident fn $name:ident($($argument:ident: $type:ty),*) -> say $said:tt) => {
        fn $name(&self, $($argument: $type),*) -> Result<$said, Error> {
            let _first = self.$first()?;
            let Some(function) = self.table.$name else { return delegate!(self, $name($($argument),*)) };
            // SAFETY: the table is that of `data`, and the plugin vouches for what its functions do.
            let said = ask(stringify!($name), |error| unsafe {
                function(self.data, $($argument.to_c(),)* error)
            })?;
            Ok(<$said as Heard>::hear(said))
        }
    };
}

/// What a method does whose function is missing.
macro_rules! delegate {
    ($self:ident, $name:ident($($argument:expr),*)) => {
        match &$self.base {
            Some(base) => base.$name($($argument),*),
            None => Err(Error::not_supported(stringify!($name))),
        }
    };
}

/// Functions of the host that call a method of a handle.
macro_rules! asks_handle {
    ($handle:ty: $(fn $name:ident($($argument:ident: $type:ty),*) -> $how:ident $result:tt;)*) => {
        $(asks_handle!{ @one $handle: fn $name($($argument: $type),*) -> $how $result })*
    };
    (@one $handle:ty: fn $name:ident($($argument:ident: $type:ty),*) -> out $out:tt) => {
        unsafe extern "C" fn $name(
            handle: *mut c_void,
            $($argument: <$type as InC>::C,)*
            out: *mut <$out as InC>::C,
            error: *mut CError,
        ) -> c_int {
            // SAFETY: `loophost.h` has the plugin pass a handle of this kind, and places for result and error.
            unsafe {
                answer(error, || {
                    $(let $argument = <$type as InC>::from_c($argument);)*
                    let handle = lent(handle.cast::<$handle>(), "the handle")?;
                    put(out, handle.$name($($argument?),*)?.to_c())
                })
            }
        }
    };
    (@one $handle:ty: fn $name:ident($($argument:ident: $type:ty),*) -> say $said:tt) => {
        unsafe extern "C" fn $name(
            handle: *mut c_void,
            $($argument: <$type as InC>::C,)*
            error: *mut CError,
        ) -> c_int {
            // SAFETY: `loophost.h` has the plugin pass a handle of this kind, and a place for the error.
            unsafe {
                answer(error, || {
                    $(let $argument = <$type as InC>::from_c($argument);)*
                    let handle = lent(handle.cast::<$handle>(), "the handle")?;
                    handle.$name($($argument?),*)
                })
            }
        }
    };
}

pub(super) use {asks_handle, asks_plugin, delegate};
