//! Callbacks: one shape for everything that a loop, a watcher or a signal may call.
//!
//! A [`Callback`] is called once, a [`RepeatCallback`] as often as its event comes. Both are four words: a closure
//! of up to three words lives inside, a larger one in one allocation. Every callback is `Send`: it is *called* on
//! the thread that its giver documents and may be *dropped* on any.

use std::{
    any::type_name,
    ffi::c_void,
    fmt,
    mem::{ManuallyDrop, MaybeUninit},
};

use abi_stable::{StableAbi, std_types::RStr};

use crate::{AbiResult, Error, ErrorCode, Event, guard, thread_id};

type Words = [MaybeUninit<usize>; 3];

/// A closure to be called once.
///
/// ```
/// use loophost_plugin_api::{Callback, Event, EventKind};
///
/// let hello = Callback::new(|_| {
///     println!("hello");
///     Ok(())
/// });
/// hello.call(&Event::new(EventKind::SOON)).unwrap();
/// ```
#[repr(C)]
#[derive(StableAbi)]
pub struct Callback {
    data: Words,
    vt: &'static CallbackVt,
}

/// A closure to be called any number of times: for readers, writers, signals and streams.
#[repr(C)]
#[derive(StableAbi)]
pub struct RepeatCallback {
    data: Words,
    vt: &'static CallbackVt,
}

/// What can be done with the three words of a callback. Frozen: it has no size to tell by, so within a major it never grows.
#[repr(C)]
#[derive(StableAbi)]
struct CallbackVt {
    call: unsafe extern "C" fn(*mut c_void, &Event) -> AbiResult<()>,
    drop: unsafe extern "C" fn(*mut c_void),
    /// Gets `name_word`, so that tables which are made while the program runs can share a function.
    name: extern "C" fn(usize) -> RStr<'static>,
    name_word: usize,
}

/// The name of a callback: the type name of its closure, asked for when it is shown.
#[derive(Clone, Copy)]
pub struct CallbackName(&'static CallbackVt);

impl fmt::Display for CallbackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str((self.0.name)(self.0.name_word).as_str())
    }
}

impl fmt::Debug for CallbackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Callback {
    /// A callback that may be called on any thread.
    #[inline]
    pub fn new<F>(f: F) -> Self
    where
        F: FnOnce(&Event) -> Result<(), Error> + Send + 'static,
    {
        Self { data: store(f), vt: Once::<F>::VT }
    }

    /// A callback around data that must stay in this thread: called on another thread it is an error, dropped on
    /// another thread it is leaked with a warning.
    pub fn local<F>(f: F) -> Self
    where
        F: FnOnce(&Event) -> Result<(), Error> + 'static,
    {
        let local = Local::new(f);
        Self::new(move |event| (local.into_inner()?)(event))
    }

    /// Calls it.
    #[inline]
    pub fn call(self, event: &Event) -> Result<(), Error> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `data` was filled by `store` for the closure that `vt` belongs to, and `call` consumes it,
        // which `ManuallyDrop` lets happen once only.
        unsafe { (this.vt.call)(this.data.as_mut_ptr().cast(), event) }.into_result()
    }

    /// The closure's name, for messages. It stays valid when the callback is gone.
    #[inline]
    pub fn name(&self) -> CallbackName {
        CallbackName(self.vt)
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        // SAFETY: `data` still holds the closure that `vt` belongs to: `call` forgets the callback it consumed.
        unsafe { (self.vt.drop)(self.data.as_mut_ptr().cast()) }
    }
}

impl RepeatCallback {
    /// A callback that may be called on any thread, by one thread at a time.
    #[inline]
    pub fn new<F>(f: F) -> Self
    where
        F: FnMut(&Event) -> Result<(), Error> + Send + 'static,
    {
        Self { data: store(f), vt: Repeat::<F>::VT }
    }

    /// As [`Callback::local`].
    pub fn local<F>(f: F) -> Self
    where
        F: FnMut(&Event) -> Result<(), Error> + 'static,
    {
        let mut local = Local::new(f);
        Self::new(move |event| (local.get_mut()?)(event))
    }

    /// Calls it.
    #[inline]
    pub fn call(&mut self, event: &Event) -> Result<(), Error> {
        // SAFETY: `data` holds the closure that `vt` belongs to, borrowed for this call.
        unsafe { (self.vt.call)(self.data.as_mut_ptr().cast(), event) }.into_result()
    }

    /// The closure's name, for messages. It stays valid when the callback is gone.
    #[inline]
    pub fn name(&self) -> CallbackName {
        CallbackName(self.vt)
    }
}

impl Drop for RepeatCallback {
    fn drop(&mut self) {
        // SAFETY: `data` holds the closure that `vt` belongs to; nothing uses it afterwards.
        unsafe { (self.vt.drop)(self.data.as_mut_ptr().cast()) }
    }
}

/// Whether a closure fits into the words themselves.
const fn fits<F>() -> bool {
    size_of::<F>() <= size_of::<Words>() && align_of::<F>() <= align_of::<Words>()
}

#[inline]
fn store<F>(f: F) -> Words {
    let mut words: Words = [MaybeUninit::uninit(); 3];
    let place = words.as_mut_ptr();
    if fits::<F>() {
        // SAFETY: `fits` says that the words have room and alignment for an `F`.
        unsafe { place.cast::<F>().write(f) }
    } else {
        // SAFETY: one pointer fits into three words.
        unsafe { place.cast::<*mut F>().write(Box::into_raw(Box::new(f))) }
    }
    words
}

/// Takes the closure out of the words.
///
/// # Safety
/// `data` points to words that `store::<F>` has filled; they are not used again.
#[inline]
unsafe fn take<F>(data: *mut c_void) -> F {
    if fits::<F>() {
        // SAFETY: the caller guarantees that an `F` lies there and is not used again.
        unsafe { data.cast::<F>().read() }
    } else {
        // SAFETY: the caller guarantees that the pointer `store` got from `Box::into_raw` lies there.
        unsafe { *Box::from_raw(data.cast::<*mut F>().read()) }
    }
}

/// The table for closures that are called once.
struct Once<F>(F);

impl<F: FnOnce(&Event) -> Result<(), Error>> Once<F> {
    const VT: &'static CallbackVt =
        &CallbackVt { call: Self::call, drop: drop_closure::<F>, name: closure_name::<F>, name_word: 0 };

    unsafe extern "C" fn call(data: *mut c_void, event: &Event) -> AbiResult<()> {
        // SAFETY: `Callback::call` guarantees that the words were stored for `F` and are consumed by this.
        guard::guard(|| unsafe { take::<F>(data) }(event))
    }
}

/// The table for closures that are called often.
struct Repeat<F>(F);

impl<F: FnMut(&Event) -> Result<(), Error>> Repeat<F> {
    const VT: &'static CallbackVt =
        &CallbackVt { call: Self::call, drop: drop_closure::<F>, name: closure_name::<F>, name_word: 0 };

    unsafe extern "C" fn call(data: *mut c_void, event: &Event) -> AbiResult<()> {
        // SAFETY: `RepeatCallback::call` guarantees that the words were stored for `F` and lends them.
        let f: &mut F =
            unsafe { if fits::<F>() { &mut *data.cast::<F>() } else { &mut **data.cast::<*mut F>() } };
        guard::guard(|| f(event))
    }
}

unsafe extern "C" fn drop_closure<F>(data: *mut c_void) {
    // SAFETY: the callback's `Drop` guarantees that the words were stored for `F` and are not used again.
    guard::guard_or((), "dropping a callback", || drop(unsafe { take::<F>(data) }));
}

extern "C" fn closure_name<F>(_: usize) -> RStr<'static> {
    type_name::<F>().into()
}

/// Data that is used and dropped in the thread that made it, or not at all.
struct Local<T> {
    thread: u64,
    value: ManuallyDrop<T>,
}

// SAFETY: the value is touched only after a comparison of the thread's number, which is never given twice.
unsafe impl<T> Send for Local<T> {}

impl<T> Local<T> {
    fn new(value: T) -> Self {
        Self { thread: thread_id::current(), value: ManuallyDrop::new(value) }
    }

    fn check(&self) -> Result<(), Error> {
        if self.thread == thread_id::current() {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::WRONG_THREAD,
            format!("{} belongs to another thread and was not called", type_name::<T>()),
        ))
    }

    fn get_mut(&mut self) -> Result<&mut T, Error> {
        self.check()?;
        Ok(&mut self.value)
    }

    fn into_inner(self) -> Result<T, Error> {
        self.check()?;
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is never dropped and never used again.
        Ok(unsafe { ManuallyDrop::take(&mut this.value) })
    }
}

impl<T> Drop for Local<T> {
    fn drop(&mut self) {
        if self.thread == thread_id::current() {
            // SAFETY: dropped once, here; this is the thread that the value belongs to.
            unsafe { ManuallyDrop::drop(&mut self.value) }
        } else {
            tracing::warn!(
                "{} belongs to another thread: it is leaked instead of dropped here",
                type_name::<T>()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        rc::Rc,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::SeqCst},
        },
        thread,
    };

    use super::*;
    use crate::EventKind;

    const SOON: Event = Event::new(EventKind::SOON);

    #[test]
    fn closures_of_every_size_are_called_and_dropped_once() {
        let live = Arc::new(());
        let called = Arc::new(AtomicUsize::new(0));
        for words in [0, 64] {
            let padding = vec![0u8; words].into_boxed_slice();
            let array = [1usize; 6];
            let (keep, count) = (live.clone(), called.clone());
            let small = Callback::new(move |_| {
                count.fetch_add(1, SeqCst);
                drop(keep);
                Ok(())
            });
            let (keep, count) = (live.clone(), called.clone());
            let large = Callback::new(move |_| {
                count.fetch_add(array.len() + padding.len(), SeqCst);
                drop(keep);
                Ok(())
            });
            small.call(&SOON).unwrap();
            drop(large);
        }
        assert_eq!(called.load(SeqCst), 2);
        assert_eq!(Arc::strong_count(&live), 1);
    }

    #[test]
    fn a_repeat_callback_keeps_its_state() {
        let total = Arc::new(AtomicUsize::new(0));
        let (sum, mut calls) = (total.clone(), 0);
        let mut callback = RepeatCallback::new(move |_| {
            calls += 1;
            sum.fetch_add(calls, SeqCst);
            Ok(())
        });
        for _ in 0..3 {
            callback.call(&SOON).unwrap();
        }
        assert_eq!(total.load(SeqCst), 1 + 2 + 3);
    }

    #[test]
    fn a_panic_is_an_error_and_the_name_is_the_closure_s() {
        let callback = Callback::new(|_| panic!("no"));
        assert!(callback.name().to_string().contains("a_panic_is_an_error"), "{}", callback.name());
        assert_eq!(callback.call(&SOON).unwrap_err().code(), ErrorCode::PANICKED);
    }

    #[test]
    fn local_data_is_used_in_its_own_thread_only() {
        let here = Rc::new(());
        let (first, second, third) = (here.clone(), here.clone(), here.clone());
        let kept = move |rc: &Rc<()>| assert!(Rc::strong_count(rc) > 1);
        Callback::local(move |_| {
            kept(&first);
            Ok(())
        })
        .call(&SOON)
        .unwrap();
        let away = Callback::local(move |_| {
            kept(&second);
            Ok(())
        });
        let dropped = Callback::local(move |_| {
            kept(&third);
            Ok(())
        });
        thread::spawn(move || {
            assert_eq!(away.call(&SOON).unwrap_err().code(), ErrorCode::WRONG_THREAD);
            drop(dropped);
        })
        .join()
        .unwrap();
        assert_eq!(Rc::strong_count(&here), 3, "both that went away are leaked, not dropped");
    }
}
