//! How what lies outside of the ABI is found: extensions of loops, child watchers, policies, plugins and the host.

use std::{ffi::c_void, ptr};

use abi_stable::StableAbi;

/// What the table of an extension begins with.
///
/// An extension is a table of functions that two sides have agreed on, by a name with a version: `vendor.name/1`. Whoever
/// asks for it ([`LoopHandle::extension`](crate::LoopHandle::extension) and so on) gets its address, or null. The table
/// is `repr(C)`, and its functions, `extern "C"`, take [`object`](Self::object) as their first argument: so they work
/// through any number of objects that wrap the one which has the extension, and which pass it on.
///
/// The table lives as long as the object that was asked for it, and so does what `object` points to; also when that is
/// closed. An object that passes on the table of its base keeps the base as long. From which threads its functions are
/// called is the extension's to say; nothing in between keeps to a rule, not even for loops.
///
/// This head stays as it is. A version of an extension grows at the end of its table only: who wants a later member compares
/// `size` first.
///
/// ```
/// use loophost_plugin_api::{EventLoop, ExtensionHead, LoopHandle};
/// use std::{ffi::c_void, ptr, sync::Arc, sync::atomic::{AtomicU64, Ordering::Relaxed}};
///
/// /// The table of `example.visits/1`.
/// #[repr(C)]
/// struct Visits {
///     head: ExtensionHead,
///     /// Counts one more. Any thread.
///     visit: unsafe extern "C" fn(object: *const c_void) -> u64,
/// }
///
/// unsafe extern "C" fn visit(object: *const c_void) -> u64 {
///     // SAFETY: the caller got it from the table of `new`, which lives as long as the count.
///     unsafe { &*object.cast::<AtomicU64>() }.fetch_add(1, Relaxed) + 1
/// }
///
/// struct Visited {
///     base: LoopHandle,
///     visits: Visits,
///     /// What `visits` points to: it stays where it is when this is moved.
///     count: Arc<AtomicU64>,
/// }
///
/// impl Visited {
///     fn new(base: LoopHandle) -> Self {
///         let count = Arc::new(AtomicU64::new(0));
///         let head = ExtensionHead::new::<Visits>(Arc::as_ptr(&count).cast());
///         Self { base, visits: Visits { head, visit }, count }
///     }
/// }
///
/// impl EventLoop for Visited {
///     fn base(&self) -> Option<LoopHandle> {
///         Some(self.base.clone())
///     }
///
///     fn extension(&self, id: &str) -> *const c_void {
///         if id == "example.visits/1" { ptr::from_ref(&self.visits).cast() } else { self.base.extension(id) }
///     }
/// }
/// ```
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct ExtensionHead {
    /// Bytes of the whole table, with this.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// The first argument of the table's functions: what its maker wants, as `self`. Null in the tables of the host and
    /// of a plugin as such, which have no object.
    pub object: *const c_void,
}

// SAFETY: an address and a number, which can be read on any thread; only the functions of the table follow the address, and
// their callers keep to the extension's own rule.
unsafe impl Send for ExtensionHead {}
// SAFETY: as above.
unsafe impl Sync for ExtensionHead {}

impl ExtensionHead {
    /// The beginning of a `Table` whose functions take `object`.
    pub const fn new<Table>(object: *const c_void) -> Self {
        Self { size: size_of::<Table>() as u32, reserved: 0, object }
    }

    /// The same without an object: for the host and a plugin as such.
    pub const fn of_no_object<Table>() -> Self {
        Self::new::<Table>(ptr::null())
    }
}
