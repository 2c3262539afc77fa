//! Log records of plugins, written into the host's `tracing` subscriber.
//!
//! A subscriber decides by static metadata: level, target, names of fields. A plugin's become known with its records, so
//! the metadata of each place that logs is made then, registered as if the place stood in the host's own code, and kept
//! for ever: filters by target work on plugins too. There is a limit, for a target may be made up at run time; past it
//! a record keeps its level and its message, and the rest goes into fields.

mod place;

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex},
};

use loophost_plugin_api::__private::{LogField, LogRecord};
use place::{MOST_FIELDS, Place, PlaceCallsite};
use tracing::level_filters::LevelFilter;

use crate::process::lock;

/// How many places are kept.
const LIMIT: usize = 4096;
/// The target of records that are past the limit.
const GENERIC_TARGET: &str = "loophost::plugin";

static PLACES: LazyLock<Places> = LazyLock::new(|| Places::new(LIMIT));

/// Whether a record of this level, 1 error to 5 trace, and target may be written.
pub(crate) fn enabled(level: u32, target: &str) -> bool {
    PLACES.enabled(level, target)
}

/// Writes a record, if a subscriber wants it.
pub(crate) fn write(record: &LogRecord<'_>) {
    PLACES.write(record);
}

/// All places that have logged.
struct Places {
    limit: usize,
    known: Mutex<HashMap<Place<'static>, &'static PlaceCallsite>>,
}

impl Places {
    fn new(limit: usize) -> Self {
        Self { limit, known: Mutex::default() }
    }

    fn enabled(&self, level: u32, target: &str) -> bool {
        let place = Place { level, target, file: "", line: 0, fields: Vec::new() };
        // The level is the cheap question: it is one load, and most records end here.
        place.level() <= LevelFilter::current()
            && self.find(&place).unwrap_or_else(|| self.generic(level, Vec::new())).is_enabled()
    }

    fn write(&self, record: &LogRecord<'_>) {
        let all = record.fields.as_slice();
        let (fields, rest) = all.split_at(all.len().min(MOST_FIELDS));
        let place = Place {
            level: record.level,
            target: record.target.as_str(),
            file: record.file.as_str(),
            line: record.line,
            fields: fields.iter().map(|field| field.name.as_str()).collect(),
        };
        if place.level() > LevelFilter::current() {
            return;
        }
        let mut message = record.message.as_str().to_owned();
        if !rest.is_empty() {
            message = format!("{message} {}", text(rest));
        }
        if let Some(callsite) = self.find(&place) {
            let values: Vec<_> = fields.iter().map(|field| field.value.as_str()).collect();
            return callsite.dispatch(&message, &values);
        }
        self.generic(record.level, vec!["plugin.target", "plugin.fields"])
            .dispatch(&message, &[place.target, &text(fields)]);
    }

    /// The callsite of a place, made if it is new; `None` past the limit.
    fn find(&self, place: &Place<'_>) -> Option<&'static PlaceCallsite> {
        self.intern(place, self.limit)
    }

    /// What stands for all places past the limit. There are ten at most.
    fn generic(&self, level: u32, fields: Vec<&str>) -> &'static PlaceCallsite {
        let place = Place { level: level.clamp(1, 5), target: GENERIC_TARGET, file: "", line: 0, fields };
        self.intern(&place, usize::MAX).expect("there is no limit")
    }

    fn intern(&self, place: &Place<'_>, limit: usize) -> Option<&'static PlaceCallsite> {
        let callsite = {
            let mut known = lock(&self.known);
            // A map of static places is also one of shorter-lived ones, as long as nothing is put in.
            let places: &HashMap<Place<'_>, _> = &known;
            if let Some(callsite) = places.get(place) {
                return Some(callsite);
            }
            if known.len() >= limit {
                return None;
            }
            let place = place.leak();
            let callsite = PlaceCallsite::leak(&place);
            known.insert(place, callsite);
            callsite
        };
        // Registration asks the subscriber, which is foreign code, so it comes after the lock. A record of another
        // thread that finds the callsite before this asks for itself.
        tracing_core::callsite::register(callsite);
        Some(callsite)
    }
}

/// Fields as a person reads them.
fn text(fields: &[LogField<'_>]) -> String {
    let fields: Vec<_> = fields.iter().map(|field| format!("{}={}", field.name, field.value)).collect();
    fields.join(" ")
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use tracing_subscriber::{filter::Targets, layer::SubscriberExt};

    use super::*;

    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What `f` makes a real subscriber print, with this filter.
    fn printed(filter: &str, f: impl FnOnce()) -> String {
        let output = Output::default();
        let writer = output.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .without_time()
            .with_file(true)
            .with_line_number(true);
        let subscriber = tracing_subscriber::registry().with(layer).with(filter.parse::<Targets>().unwrap());
        tracing::subscriber::with_default(subscriber, f);
        let bytes = output.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn record(places: &Places, level: u32, target: &str, message: &str, fields: &[(&str, &str)]) {
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| LogField { name: (*name).into(), value: (*value).into() })
            .collect();
        let mut record = LogRecord::new(level, target, message);
        (record.line, record.file, record.fields) = (7, "their.rs".into(), fields.as_slice().into());
        places.write(&record);
    }

    #[test]
    fn a_record_is_printed_as_one_of_the_host_s_own() {
        let places = Places::new(9);
        let log = || record(&places, 2, "plug::poll", "two of them", &[("fd", "5"), ("name", "a b")]);
        let line = " WARN plug::poll: their.rs:7: two of them fd=5 name=a b\n";
        assert_eq!(printed("plug=warn", log), line);
        assert_eq!(printed("plug=warn", log), line, "from the callsite that is known now");
        assert_eq!(places.known.lock().unwrap().len(), 1);
    }

    #[test]
    fn filters_by_target_and_level_are_heeded() {
        let places = Places::new(9);
        let enabled = |filter: &str, level, target: &str| {
            let mut answer = false;
            printed(filter, || answer = places.enabled(level, target));
            answer
        };
        assert!(enabled("plug::a=debug", 4, "plug::a"));
        assert!(!enabled("plug::a=debug", 5, "plug::a"));
        assert!(!enabled("plug::a=debug", 1, "plug::b"));
        assert!(enabled("plug::b=trace", 5, "plug::b"), "a new subscriber is asked again");
        assert_eq!(printed("plug::a=info", || record(&places, 3, "plug::b", "no", &[])), "");
        assert_eq!(printed("plug::a=info", || record(&places, 4, "plug::a", "no", &[])), "");
    }

    #[test]
    fn past_the_limit_the_target_is_a_field() {
        let places = Places::new(1);
        let output = printed("info", || {
            record(&places, 3, "first", "one", &[]);
            record(&places, 3, "second", "two", &[("a", "1"), ("b", "2")]);
            record(&places, 1, "third", "three", &[]);
        });
        assert_eq!(
            output.lines().collect::<Vec<_>>(),
            [
                " INFO first: their.rs:7: one",
                " INFO loophost::plugin: two plugin.target=second plugin.fields=a=1 b=2",
                "ERROR loophost::plugin: three plugin.target=third plugin.fields=",
            ]
        );
    }

    #[test]
    fn fields_that_are_too_many_go_into_the_message() {
        let places = Places::new(9);
        let names: Vec<_> = (0..40).map(|n| format!("f{n}")).collect();
        let fields: Vec<_> = names.iter().map(|name| (name.as_str(), "x")).collect();
        let output = printed("many=info", || record(&places, 3, "many", "all", &fields));
        assert!(names.iter().all(|name| output.contains(&format!("{name}=x"))), "{output}");
    }
}
