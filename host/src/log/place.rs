//! A place in a plugin's code that logs, and its callsite in the host.

use std::{
    iter,
    sync::{
        OnceLock,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
};

use tracing_core::{
    Callsite, Event, Interest, Kind, Level, Metadata, dispatcher,
    field::{self, Field, FieldSet, Value},
    identify_callsite,
};

/// How many fields one event may have besides its message; `tracing`'s macros take no more either.
pub(super) const MOST_FIELDS: usize = 31;

/// What tells one place from another.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Place<'a> {
    pub(super) level: u32,
    pub(super) target: &'a str,
    pub(super) file: &'a str,
    pub(super) line: u32,
    /// The names of the fields, at most [`MOST_FIELDS`], without the message that every record has.
    pub(super) fields: Vec<&'a str>,
}

impl Place<'_> {
    pub(super) fn level(&self) -> Level {
        match self.level {
            0 | 1 => Level::ERROR,
            2 => Level::WARN,
            3 => Level::INFO,
            4 => Level::DEBUG,
            _ => Level::TRACE,
        }
    }

    /// The same place with texts that live for ever.
    pub(super) fn leak(&self) -> Place<'static> {
        Place {
            target: leak_text(self.target),
            file: leak_text(self.file),
            fields: self.fields.iter().map(|name| leak_text(name)).collect(),
            ..*self
        }
    }
}

fn leak_text(text: &str) -> &'static str {
    text.to_owned().leak()
}

/// What `tracing`'s macros make a static of.
pub(super) struct PlaceCallsite {
    metadata: OnceLock<Metadata<'static>>,
    interest: AtomicU8,
}

impl PlaceCallsite {
    const NEVER: u8 = 0;
    const SOMETIMES: u8 = 1;
    const ALWAYS: u8 = 2;

    /// The callsite of a place; not registered yet.
    pub(super) fn leak(place: &Place<'static>) -> &'static Self {
        let this: &'static Self = Box::leak(Box::new(Self {
            metadata: OnceLock::new(),
            // Until it is registered the subscriber is asked each time.
            interest: AtomicU8::new(Self::SOMETIMES),
        }));
        let names: Vec<_> = iter::once("message").chain(place.fields.iter().copied()).collect();
        let place_known = !place.file.is_empty();
        this.metadata.get_or_init(|| {
            Metadata::new(
                "plugin event",
                place.target,
                place.level(),
                place_known.then_some(place.file),
                place_known.then_some(place.line),
                None,
                FieldSet::new(names.leak(), identify_callsite!(this)),
                Kind::EVENT,
            )
        });
        this
    }

    pub(super) fn is_enabled(&self) -> bool {
        match self.interest.load(Relaxed) {
            Self::NEVER => false,
            Self::ALWAYS => true,
            _ => dispatcher::get_default(|subscriber| subscriber.enabled(self.metadata())),
        }
    }

    /// Sends one event, if the subscriber wants it; `values` go with the names of the place.
    pub(super) fn dispatch(&'static self, message: &str, values: &[&str]) {
        if !self.is_enabled() {
            return;
        }
        // Text that is shown as it is, so `key=value` comes out without quotes.
        let texts: Vec<_> = iter::once(message).chain(values.iter().copied()).map(field::display).collect();
        let fields = self.metadata().fields();
        let names: Vec<Field> = fields.iter().collect();
        let mut pairs: [(&Field, Option<&dyn Value>); MOST_FIELDS + 1] = [(&names[0], None); MOST_FIELDS + 1];
        for (pair, (name, text)) in pairs.iter_mut().zip(names.iter().zip(&texts)) {
            *pair = (name, Some(text));
        }
        Event::dispatch(self.metadata(), &fields.value_set(&pairs));
    }
}

impl Callsite for PlaceCallsite {
    fn set_interest(&self, interest: Interest) {
        let interest = match interest {
            _ if interest.is_never() => Self::NEVER,
            _ if interest.is_always() => Self::ALWAYS,
            _ => Self::SOMETIMES,
        };
        self.interest.store(interest, Relaxed);
    }

    fn metadata(&self) -> &Metadata<'static> {
        self.metadata.get().expect("`leak` has made it before anybody has the callsite")
    }
}
