//! Log forwarding: a plugin's `tracing` events reach the host's subscriber.
//!
//! A `.so` has its own copy of `tracing`'s statics. Its events go through this subscriber to the host, with level,
//! target and fields; spans are not forwarded.

use std::{
    ffi::c_void,
    fmt::{self, Write},
    marker::PhantomData,
    mem::offset_of,
    ptr,
};

use abi_stable::{
    StableAbi,
    std_types::{RSlice, RStr},
};
use tracing_core::{
    Dispatch, Event, Level, Metadata, Subscriber, dispatcher,
    field::{Field, Visit},
    span,
};

use crate::{
    growing::{self, Growing},
    host,
};

/// One event, lent for the time of the call.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct LogRecord<'a> {
    /// The size of this struct, which may grow at its end: so nobody else sets it.
    size: u32,
    /// 1 error, 2 warn, 3 info, 4 debug, 5 trace.
    pub level: u32,
    /// The line in `file`.
    pub line: u32,
    /// The event's target.
    pub target: RStr<'a>,
    /// The source file, or empty.
    pub file: RStr<'a>,
    /// The text.
    pub message: RStr<'a>,
    /// The other fields, in their order.
    pub fields: RSlice<'a, LogField<'a>>,
}

// SAFETY: it is as the trait wants it, and only `new` sets the size.
unsafe impl Growing for LogRecord<'_> {
    const SMALLEST: usize = offset_of!(Self, fields) + size_of::<RSlice<'_, LogField<'_>>>();
    const EMPTY: Self = Self {
        size: size_of::<Self>() as u32,
        level: 0,
        line: 0,
        target: RStr::empty(),
        file: RStr::empty(),
        message: RStr::empty(),
        fields: RSlice::EMPTY,
    };
}

impl<'a> LogRecord<'a> {
    /// A record of no place and without fields.
    pub fn new(level: u32, target: &'a str, message: &'a str) -> Self {
        Self { level, target: target.into(), message: message.into(), ..Self::EMPTY }
    }
}

/// A record on its way to the host, whose own may be longer or shorter.
#[repr(transparent)]
#[derive(StableAbi)]
pub struct LentRecord<'a>(*const c_void, PhantomData<&'a ()>);

impl<'a> LentRecord<'a> {
    /// Lends a record.
    pub fn new(record: &'a LogRecord<'_>) -> Self {
        Self(ptr::from_ref(record).cast(), PhantomData)
    }

    /// As much of it as is known here.
    pub fn read(&self) -> Option<LogRecord<'a>> {
        // SAFETY: `new` got it from a record, here or in another file, that is lent for 'a.
        unsafe { growing::read(self.0.cast()) }
    }
}

/// One field of a record.
#[repr(C)]
#[derive(StableAbi)]
pub struct LogField<'a> {
    /// Its name.
    pub name: RStr<'a>,
    /// Its value, as text.
    pub value: RStr<'a>,
}

/// Sends the `tracing` events of this copy of the crate to the host. Once; a second time it changes nothing.
pub(crate) fn install() {
    let _ = dispatcher::set_global_default(Dispatch::new(Forwarder));
}

struct Forwarder;

impl Subscriber for Forwarder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
            && host::try_services().is_some_and(|services| {
                services.log_enabled()(level_number(*metadata.level()), metadata.target().into())
            })
    }

    fn event(&self, event: &Event<'_>) {
        let Some(services) = host::try_services() else { return };
        let mut texts = Texts::default();
        event.record(&mut texts);
        let fields: Vec<_> = texts
            .fields
            .iter()
            .map(|(name, value)| LogField { name: (*name).into(), value: value.as_str().into() })
            .collect();
        let metadata = event.metadata();
        let level = level_number(*metadata.level());
        services.log()(LentRecord::new(&LogRecord {
            line: metadata.line().unwrap_or(0),
            file: metadata.file().unwrap_or_default().into(),
            fields: fields.as_slice().into(),
            ..LogRecord::new(level, metadata.target(), &texts.message)
        }));
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

fn level_number(level: Level) -> u32 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

/// The texts of an event's fields.
#[derive(Default)]
struct Texts {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Visit for Texts {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format_args!("{value:?}"));
    }
}

impl Texts {
    fn put(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if field.name() == "message" {
            // Writing to a String cannot fail.
            let _ = self.message.write_fmt(value);
        } else {
            self.fields.push((field.name(), value.to_string()));
        }
    }
}
