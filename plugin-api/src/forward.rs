//! The three macros that carry a method from a handle to the author's code, so that each signature with nothing
//! special about it stands in one line.

/// The body of a trait method that its author did not write: ask the base, or say `NotSupported`.
macro_rules! delegate {
    ($self:ident, $name:literal, $method:ident($($argument:expr),*)) => {
        match $self.base() {
            Some(base) => base.$method($($argument),*),
            None => Err($crate::Error::not_supported($name)),
        }
    };
}

/// The methods of an adapter, each inside a guard.
macro_rules! guarded_methods {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(fn $name(&self, $($argument: $type),*) -> $crate::AbiResult<$result> {
            // Lent to the closure: moved into it, a callback's four words would be copied twice on their way.
            $(let mut $argument = std::mem::ManuallyDrop::new($argument);)*
            $crate::guard::guard(|| {
                // SAFETY: taken once: the closure is called once, or never, and then what it was lent is leaked.
                $(let $argument = unsafe { std::mem::ManuallyDrop::take(&mut $argument) };)*
                self.0.$name($($argument),*)
            })
        })*
    };
}

/// The drop of an adapter: the author's drop runs inside a guard.
macro_rules! guarded_drop {
    ($adapter:ident<T: $bound:ident>, $what:literal) => {
        impl<T: $bound> Drop for $adapter<T> {
            fn drop(&mut self) {
                $crate::guard::guard_or((), $what, || {
                    // SAFETY: dropped once, here; nothing uses the adapter afterwards.
                    unsafe { ManuallyDrop::drop(&mut self.0) }
                });
            }
        }
    };
}

/// The methods of a handle that only unwrap what crossed.
macro_rules! handle_methods {
    ($trait:ident: $(fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(
            #[doc = concat!("See [`", stringify!($trait), "::", stringify!($name), "`].")]
            #[inline]
            pub fn $name(&self, $($argument: $type),*) -> Result<$result, $crate::Error> {
                self.0.$name($($argument),*).into_result()
            }
        )*
    };
}

/// What every handle around a shared object has: cloning and identity.
macro_rules! object_handle {
    ($handle:ident($object:ident)) => {
        impl $handle {
            /// Whether both are the same object (Python: `is`).
            #[inline]
            pub fn same(&self, other: &Self) -> bool {
                self.address() == other.address()
            }

            /// The address of the object, as an identity for maps and messages.
            #[inline]
            pub fn address(&self) -> usize {
                std::ptr::from_ref(self.0.obj.sabi_erased_ref().get()).addr()
            }
        }

        // A reference: pinning it pins nothing of the object.
        impl Unpin for $handle {}

        impl Clone for $handle {
            fn clone(&self) -> Self {
                Self($object::from_sabi(self.0.obj.shallow_clone()))
            }
        }
    };
}

pub(crate) use {delegate, guarded_drop, guarded_methods, handle_methods, object_handle};
