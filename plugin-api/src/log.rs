//! Log forwarding: a plugin's `tracing` events reach the host's subscriber.
//!
//! A `.so` has its own copy of `tracing`'s statics. Its events go through this subscriber to the host, with level,
//! target and fields; spans are not forwarded.

use std::fmt::{self, Write};

use abi_stable::{
    StableAbi,
    std_types::{RSlice, RStr},
};
use tracing_core::{
    Dispatch, Event, Level, Metadata, Subscriber, dispatcher,
    field::{Field, Visit},
    span,
};

use crate::host;

/// One event, lent for the time of the call.
#[repr(C)]
#[derive(StableAbi)]
pub struct LogRecord<'a> {
    /// The size of this struct; it may grow at its end.
    pub size: u32,
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
        services.log()(&LogRecord {
            size: size_of::<LogRecord<'_>>() as u32,
            level: level_number(*metadata.level()),
            line: metadata.line().unwrap_or(0),
            target: metadata.target().into(),
            file: metadata.file().unwrap_or_default().into(),
            message: texts.message.as_str().into(),
            fields: fields.as_slice().into(),
        });
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
